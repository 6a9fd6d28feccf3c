package vga

import "encoding/binary"

// Registers of VBE DISPI.
const (
	dispiID = iota
	dispiXRes
	dispiYRes
	dispiBPP
	dispiEnable
	dispiBank
	dispiVirtWidth
	dispiVirtHeight
	dispiXOffset
	dispiYOffset
	dispiMemory // in 64 KiB
	dispiCount
)

// Bits of dispiEnable.
const (
	dispiOn      = 0x01
	dispiCaps    = 0x02 // the sizes read as the largest ones
	dispiWideDAC = 0x20
	dispiLinear  = 0x40
	dispiKeep    = 0x80 // a mode change leaves the video memory as it is
)

const (
	dispiOldest = 0xb0c0
	dispiNewest = 0xb0c5

	maxWidth, maxHeight = 8192, 8192
)

// dispi are the VBE DISPI registers.
type dispi struct {
	index   uint16
	version uint16 // what the guest said it knows
	regs    [dispiCount]uint16
}

func (v *dispi) on() bool      { return v.regs[dispiEnable]&dispiOn != 0 }
func (v *dispi) wideDAC() bool { return v.regs[dispiEnable]&dispiWideDAC != 0 }

// bits is the depth of a pixel in memory.
func (v *dispi) bits() int {
	switch b := int(v.regs[dispiBPP]); b {
	case 0:
		return 8
	case 15:
		return 16
	default:
		return b
	}
}

// stride is the length of a line in bytes; of one plane where there are planes.
func (v *dispi) stride() int {
	width := int(max(v.regs[dispiVirtWidth], v.regs[dispiXRes]))
	if v.bits() == 4 {
		return width / 8
	}
	return width * v.bits() / 8
}

// dispiPorts are index port (offset 0) and data ports (1 and 2), all of 16 bits.
type dispiPorts Device

// Read implements bus.Device.
func (p *dispiPorts) Read(off uint64, b []byte) {
	d := (*Device)(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.dispi.index
	if off > 0 {
		v = d.readDispi(d.dispi.index)
	}
	answer(b, uint64(v))
}

// Write implements bus.Device.
func (p *dispiPorts) Write(off uint64, b []byte) {
	d := (*Device)(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := uint16(littleEndian(b)); off == 0 {
		d.dispi.index = v
	} else {
		d.writeDispi(d.dispi.index, v)
	}
}

// answer fills b with v, little endian.
func answer(b []byte, v uint64) {
	var all [8]byte
	binary.LittleEndian.PutUint64(all[:], v)
	copy(b, all[:])
}

func littleEndian(b []byte) uint64 {
	var all [8]byte
	copy(all[:], b)
	return binary.LittleEndian.Uint64(all[:])
}

func (d *Device) readDispi(i uint16) uint16 {
	v := &d.dispi
	if i >= dispiCount {
		return 0
	}
	caps := v.regs[dispiEnable]&dispiCaps != 0
	switch {
	case i == dispiID:
		return v.version
	case i == dispiXRes && caps:
		return maxWidth
	case i == dispiYRes && caps:
		return maxHeight
	case i == dispiBPP && caps:
		return 32
	case i == dispiVirtHeight:
		if n := v.stride(); n > 0 {
			return uint16(min(len(d.vram)/planesOf(v)/n, 0xffff))
		}
		return 0
	case i == dispiMemory:
		return uint16(min(len(d.vram)>>16, 0xffff))
	}
	return v.regs[i]
}

// planesOf is how many planes share the video memory.
func planesOf(v *dispi) int {
	if v.bits() == 4 {
		return 4
	}
	return 1
}

func (d *Device) writeDispi(i, val uint16) {
	v := &d.dispi
	d.touched = true
	switch i {
	case dispiID:
		if val >= dispiOldest && val <= dispiNewest {
			v.version = val
		}
	case dispiXRes, dispiYRes:
		if val <= maxWidth {
			v.regs[i] = val
		}
	case dispiBPP:
		switch val {
		case 0, 4, 8, 15, 16, 24, 32:
			v.regs[i] = val
		}
	case dispiEnable:
		was := v.on()
		v.regs[i] = val & (dispiOn | dispiCaps | dispiWideDAC | dispiLinear | dispiKeep)
		if v.on() && !was {
			v.regs[dispiVirtWidth] = v.regs[dispiXRes]
			v.regs[dispiXOffset], v.regs[dispiYOffset], v.regs[dispiBank] = 0, 0, 0
			if val&dispiKeep == 0 {
				d.clearScreen()
			}
		}
	case dispiBank:
		if int(val)<<16 < len(d.vram) {
			v.regs[i] = val
		}
	case dispiVirtWidth:
		if val <= maxWidth {
			v.regs[i] = val
		}
	case dispiXOffset, dispiYOffset:
		v.regs[i] = val
	}
}

// clearScreen blackens what the mode shows.
func (d *Device) clearScreen() {
	n := min(d.dispi.stride()*planesOf(&d.dispi)*int(d.dispi.regs[dispiYRes]), len(d.vram))
	clear(d.vram[:n])
	d.changed(0, n)
}

// changed notes that n bytes of video memory at off, which are inside, were written from here.
func (d *Device) changed(off, n int) {
	if n <= 0 {
		return
	}
	for page := off / pageSize; page <= (off+n-1)/pageSize; page++ {
		d.own[page/64] |= 1 << (page % 64)
	}
}
