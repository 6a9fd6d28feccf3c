package vga

// The VGA's own memory is the first 256 KiB of video memory. Byte a of plane p is at 4*a+p, so that a mode with 256 colours is linear. In the odd/even mode of text, cell n (character in plane 0, its
// attribute in plane 1) is at 4*n.
const (
	legacySize = 256 << 10
	legacyMask = legacySize - 1
)

// window is A0000h-BFFFFh.
type window Device

// Read implements bus.Device.
func (w *window) Read(off uint64, p []byte) {
	d := (*Device)(w)
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range p {
		p[i] = d.load(int(off) + i)
	}
}

// Write implements bus.Device.
func (w *window) Write(off uint64, p []byte) {
	d := (*Device)(w)
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range p {
		d.store(int(off)+i, p[i])
	}
}

// place turns an offset in the window into one in the part that the graphics controller decodes.
func (r *registers) place(off int) (int, bool) {
	switch r.gfx[6] >> 2 & 3 {
	case 0:
		return off, true
	case 1:
		return off, off < 0x10000
	case 2:
		return off - 0x10000, off >= 0x10000 && off < 0x18000
	default:
		return off - 0x18000, off >= 0x18000
	}
}

// banked says where in video memory off lies while a linear mode is on, whose banks of 64 KiB the window shows.
func (d *Device) banked(off int) (at int, linear bool) {
	if !d.dispi.on() || d.dispi.bits() == 4 {
		return 0, false
	}
	return int(d.dispi.regs[dispiBank])<<16 | off&0xffff, true
}

// planar is where the planes of byte address a begin; in a mode of 16 colours that is larger than a VGA, banks reach all of it.
func (d *Device) planar(a int) int {
	if d.dispi.on() {
		return 4 * (int(d.dispi.regs[dispiBank])<<16 + a&0xffff) & (len(d.vram) - 1)
	}
	return 4 * a & legacyMask
}

func (d *Device) chain4() bool  { return d.regs.seq[4]&8 != 0 }
func (d *Device) oddEven() bool { return d.regs.seq[4]&4 == 0 }

func (d *Device) load(off int) uint8 {
	if at, linear := d.banked(off); linear {
		if off >= 0x10000 || at >= len(d.vram) {
			return 0xff
		}
		return d.vram[at]
	}
	r := &d.regs
	a, on := r.place(off)
	if !on {
		return 0xff
	}
	plane := int(r.gfx[4] & 3)
	var base int
	switch {
	case d.chain4():
		base, plane = a&^3&legacyMask, a&3
	case r.gfx[5]&0x10 != 0:
		base, plane = d.planar(a>>1), plane&2|a&1
	default:
		base = d.planar(a)
	}
	copy(d.latch[:], d.vram[base:])
	if r.gfx[5]&8 == 0 {
		return d.latch[plane]
	}
	// Read mode 1: which pixels have the colour compared to, as far as planes count.
	match := uint8(0xff)
	for p, v := range d.latch {
		if r.gfx[7]>>p&1 != 0 {
			match &= ^(v ^ fill(r.gfx[2]>>p))
		}
	}
	return match
}

// fill makes eight of the lowest bit.
func fill(v uint8) uint8 { return -(v & 1) }

func (d *Device) store(off int, v uint8) {
	if at, linear := d.banked(off); linear {
		if off < 0x10000 && at < len(d.vram) {
			d.vram[at] = v
			d.changed(at, 1)
		}
		return
	}
	r := &d.regs
	a, on := r.place(off)
	if !on {
		return
	}
	planes := r.seq[2] & 15
	var base int
	switch {
	case d.chain4():
		if plane := a & 3; planes>>plane&1 != 0 {
			d.vram[a&legacyMask] = v
			d.changed(a&legacyMask, 1)
		}
		return
	case d.oddEven():
		planes &= 5 << (a & 1)
		base = d.planar(a >> 1)
	default:
		base = d.planar(a)
	}
	r.combine(d.vram[base:base+4], &d.latch, planes, v)
	d.changed(base, 4)
}

// combine is the graphics controller's way of a byte into the enabled planes of dst.
func (r *registers) combine(dst []byte, latch *[4]byte, planes, v uint8) {
	g := &r.gfx
	rotated := v>>(g[3]&7) | v<<(8-g[3]&7)
	mask := g[8]
	for p := range 4 {
		if planes>>p&1 == 0 {
			continue
		}
		in := rotated
		switch g[5] & 3 {
		case 0:
			if g[1]>>p&1 != 0 {
				in = fill(g[0] >> p)
			}
		case 1:
			dst[p] = latch[p]
			continue
		case 2:
			in = fill(v >> p)
		case 3:
			in = fill(g[0] >> p)
		}
		m := mask
		if g[5]&3 == 3 {
			m &= rotated
		}
		switch g[3] >> 3 & 3 {
		case 1:
			in &= latch[p]
		case 2:
			in |= latch[p]
		case 3:
			in ^= latch[p]
		}
		dst[p] = in&m | latch[p]&^m
	}
}
