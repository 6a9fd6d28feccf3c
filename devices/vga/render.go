package vga

import "encoding/binary"

// draw makes line y of the picture in dst, 4 bytes a pixel.
func (d *Device) draw(m *mode, pal *[16]uint32, y int, dst []byte) {
	switch m.kind {
	case indexed:
		at := m.direct.Offset + y*m.direct.Stride
		for x, v := range d.vram[at : at+m.width] {
			put(dst, x, d.colour(v))
		}
	case text:
		d.drawText(m, pal, y, dst)
	default:
		at := m.row(&d.regs, y, d.dispi.on())
		for x := 0; x < m.width; at++ {
			cell := d.vram[4*at&m.mask:]
			x += d.drawCell(m, pal, [4]byte(cell), x, dst)
		}
	}
}

func put(dst []byte, x int, colour uint32) {
	if 4*x+4 <= len(dst) {
		binary.LittleEndian.PutUint32(dst[4*x:], colour)
	}
}

// row is the address at which line y of a graphics mode begins.
func (m *mode) row(r *registers, y int, linear bool) int {
	start := m.start
	if y >= m.split {
		y, start = y-m.split, 0
	}
	y /= m.repeat
	scan := y % m.scans
	at := start + y/m.scans*m.pitch
	if linear {
		return at
	}
	// CGA and Hercules have every other line in a bank of its own: counter bits in place of address bits. In word mode addresses count pairs of bytes.
	bank := 13
	if r.crt[0x17]&0x40 == 0 {
		bank = 12
	}
	if r.crt[0x17]&1 == 0 {
		at = at&^(1<<bank) | scan&1<<bank
	}
	if r.crt[0x17]&2 == 0 {
		at = at&^(2<<bank) | scan>>1&1<<(bank+1)
	}
	return at
}

// drawCell makes the pixels of one address at x, and says how many they are.
func (d *Device) drawCell(m *mode, pal *[16]uint32, cell [4]byte, x int, dst []byte) int {
	enabled := d.regs.attr[0x12] & 15
	switch m.kind {
	case bytes4:
		// A pixel takes two clocks.
		for i, v := range cell {
			c := d.colour(v)
			for k := range 2 * m.double {
				put(dst, x+i*2*m.double+k, c)
			}
		}
	case cga:
		for i := range 8 {
			lane, shift := i/4, 6-2*(i%4)
			v := (cell[lane]>>shift&3 | cell[lane+2]>>shift&3<<2) & enabled
			for k := range m.double {
				put(dst, x+i*m.double+k, pal[v])
			}
		}
	default:
		for i := range 8 {
			shift := 7 - i
			v := (cell[0]>>shift&1 | cell[1]>>shift&1<<1 | cell[2]>>shift&1<<2 | cell[3]>>shift&1<<3) & enabled
			for k := range m.double {
				put(dst, x+i*m.double+k, pal[v])
			}
		}
	}
	return 8 * m.double
}

// drawText makes a line of characters.
func (d *Device) drawText(m *mode, pal *[16]uint32, y int, dst []byte) {
	r := &d.regs
	y /= m.repeat
	scan := y % m.scans
	row := m.start + y/m.scans*m.pitch
	dots := 8
	if r.seq[1]&1 == 0 {
		dots = 9
	}
	fonts := [2]int{fontBase(r.seq[3]&3 | r.seq[3]>>2&4), fontBase(r.seq[3]>>2&3 | r.seq[3]>>3&4)}
	cursor := -1
	if from, to := int(r.crt[0xa]&0x1f), int(r.crt[0xb]&0x1f); r.crt[0xa]&0x20 == 0 && scan >= from && scan <= to {
		cursor = int(r.crt[0xe])<<8 | int(r.crt[0xf])
	}
	for x, column := 0, 0; x < m.width; column++ {
		cell := d.vram[4*(row+column)&m.mask:]
		char, attr := cell[0], cell[1]
		font, fore, back := fonts[0], attr&15, attr>>4
		if fonts[0] != fonts[1] {
			font = fonts[attr>>3&1]
			fore &= 7
		}
		if r.attr[0x10]&8 != 0 {
			back &= 7 // the highest bit has it blink
		}
		bits := uint16(d.vram[4*(font+32*int(char)+scan)&m.mask+2]) << 1
		switch {
		case row+column == cursor:
			bits = 0x1ff
		case r.attr[0x10]&4 != 0 && char >= 0xc0 && char < 0xe0:
			bits |= bits >> 1 & 1 // lines of boxes go on to the next one
		}
		width := dots * m.double
		drawDots(dst[4*x:4*(x+width)], bits, pal[fore], pal[back], m.double)
		x += width
	}
}

// drawDots makes dots of bits, the first one in bit 8, each of double pixels, until dst is full.
func drawDots(dst []byte, bits uint16, fore, back uint32, double int) {
	difference := fore ^ back
	dot := uint32(bits)
	for len(dst) >= 4*double {
		c := back ^ difference&-(dot>>8&1)
		dot <<= 1
		binary.LittleEndian.PutUint32(dst, c)
		if double == 2 {
			binary.LittleEndian.PutUint32(dst[4:], c)
		}
		dst = dst[4*double:]
	}
}

// fontBase is where in plane 2 character set n begins.
func fontBase(n uint8) int { return int(n&3)<<14 | int(n>>2&1)<<13 }
