package vga

// registers are those of the VGA itself.
type registers struct {
	misc      uint8
	feature   uint8
	status    uint8 // input status 1: toggles
	seqIndex  uint8
	seq       [8]uint8
	gfxIndex  uint8
	gfx       [16]uint8
	crtIndex  uint8
	crt       [0x20]uint8
	attrIndex uint8 // bit 5: the display shows
	attrData  bool  // the next write to 3C0h is data
	attr      [0x20]uint8

	dac      [768]uint8
	dacMask  uint8
	dacWrite uint8 // index for writes, and which of its three colours is next
	dacRead  uint8
	dacSub   uint8
	dacState uint8 // 0 after a write of the write index, 3 after one of the read index
}

// Which bits of a register there are.
var (
	seqBits  = [8]uint8{0x03, 0x3d, 0x0f, 0x3f, 0x0e}
	gfxBits  = [16]uint8{0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff}
	attrBits = [0x20]uint8{
		0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
		0x10: 0xef, 0x11: 0xff, 0x12: 0x3f, 0x13: 0x0f, 0x14: 0x0f,
	}
)

const crtRegisters = 0x19

// powerOn brings all registers into the state that firmware finds.
func (d *Device) powerOn() {
	d.regs = registers{misc: 1, dacMask: 0xff} // at the ports of colour, where all look
	d.dispi = dispi{version: dispiNewest}
	d.latch = [4]byte{}
	d.touched = true
}

// vgaPorts are the ports from base on.
type vgaPorts struct {
	d    *Device
	base uint16
}

// Read implements bus.Device. Wider accesses are several of a byte.
func (v *vgaPorts) Read(off uint64, p []byte) {
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	for i := range p {
		p[i] = v.d.readPort(v.base + uint16(off) + uint16(i))
	}
}

// Write implements bus.Device.
func (v *vgaPorts) Write(off uint64, p []byte) {
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	for i := range p {
		v.d.writePort(v.base+uint16(off)+uint16(i), p[i])
	}
}

// decode turns the ports of the monochrome or colour emulation, whichever is on, into those of colour, and says whether the port is on.
func (r *registers) decode(port uint16) (uint16, bool) {
	if port >= 0x3b0 && port < 0x3c0 {
		return port + 0x20, r.misc&1 == 0
	}
	return port, port < 0x3d0 || r.misc&1 != 0
}

func (d *Device) readPort(port uint16) uint8 {
	r := &d.regs
	port, on := r.decode(port)
	if !on {
		return 0xff
	}
	switch port {
	case 0x3c0:
		return r.attrIndex
	case 0x3c1:
		return r.attr[r.attrIndex&0x1f]
	case 0x3c2:
		return 0x10 // a monitor is there
	case 0x3c4:
		return r.seqIndex
	case 0x3c5:
		return r.seq[r.seqIndex&7]
	case 0x3c6:
		return r.dacMask
	case 0x3c7:
		return r.dacState
	case 0x3c8:
		return r.dacWrite
	case 0x3c9:
		v := r.dac[3*int(r.dacRead)+int(r.dacSub)]
		if r.dacSub++; r.dacSub == 3 {
			r.dacSub = 0
			r.dacRead++
		}
		return v
	case 0x3ca:
		return r.feature
	case 0x3cc:
		return r.misc
	case 0x3ce:
		return r.gfxIndex
	case 0x3cf:
		return r.gfx[r.gfxIndex&15]
	case 0x3d4:
		return r.crtIndex
	case 0x3d5:
		return r.crt[r.crtIndex&0x1f]
	case 0x3da:
		r.attrData = false
		r.status ^= 0x09 // whoever waits for an edge of the retrace sees one
		return r.status
	}
	return 0xff
}

func (d *Device) writePort(port uint16, v uint8) {
	r := &d.regs
	port, on := r.decode(port)
	if !on {
		return
	}
	d.touched = true
	switch port {
	case 0x3c0:
		if r.attrData {
			i := r.attrIndex & 0x1f
			r.attr[i] = v & attrBits[i]
		} else {
			r.attrIndex = v & 0x3f
		}
		r.attrData = !r.attrData
	case 0x3c2:
		r.misc = v &^ 0x10
	case 0x3c4:
		r.seqIndex = v & 7
	case 0x3c5:
		r.seq[r.seqIndex&7] = v & seqBits[r.seqIndex&7]
	case 0x3c6:
		r.dacMask = v
	case 0x3c7:
		r.dacRead, r.dacSub, r.dacState = v, 0, 3
	case 0x3c8:
		r.dacWrite, r.dacSub, r.dacState = v, 0, 0
	case 0x3c9:
		if !d.dispi.wideDAC() {
			v &= 0x3f
		}
		r.dac[3*int(r.dacWrite)+int(r.dacSub)] = v
		if r.dacSub++; r.dacSub == 3 {
			r.dacSub = 0
			r.dacWrite++
		}
	case 0x3ce:
		r.gfxIndex = v & 15
	case 0x3cf:
		r.gfx[r.gfxIndex&15] = v & gfxBits[r.gfxIndex&15]
	case 0x3d4:
		r.crtIndex = v & 0x1f
	case 0x3d5:
		r.writeCRT(v)
	case 0x3da:
		r.feature = v & 0x10
	}
}

func (r *registers) writeCRT(v uint8) {
	i := r.crtIndex & 0x1f
	switch {
	case i >= crtRegisters:
	case i == 7 && r.crt[0x11]&0x80 != 0:
		r.crt[7] = r.crt[7]&^0x10 | v&0x10 // of the protected ones, only the line compare bit
	case i < 8 && r.crt[0x11]&0x80 != 0:
	default:
		r.crt[i] = v
	}
}

// colour is a colour of the DAC as XRGB8888.
func (d *Device) colour(i uint8) uint32 {
	c := d.regs.dac[3*int(i&d.regs.dacMask):]
	r, g, b := uint32(c[0]), uint32(c[1]), uint32(c[2])
	if !d.dispi.wideDAC() {
		r, g, b = r<<2|r>>4, g<<2|g>>4, b<<2|b>>4
	}
	return 0xff<<24 | r<<16 | g<<8 | b
}

// palette is what the sixteen colours of text and planes are.
func (d *Device) palette() (p [16]uint32) {
	a := &d.regs.attr
	for i := range p {
		v := a[i]&0x3f | a[0x14]&0x0c<<4
		if a[0x10]&0x80 != 0 {
			v = a[i]&0x0f | a[0x14]&0x0f<<4
		}
		p[i] = d.colour(v)
	}
	return p
}
