package vga

import "github.com/sharevm/vmm/display"

// kind is a way to make pixels of video memory.
type kind uint8

const (
	off kind = iota
	direct
	indexed // a byte a pixel, linear
	text
	planes // 16 colours in four planes
	cga    // 4 colours, two bits a pixel
	bytes4 // 256 colours, four pixels to each address of the VGA
)

// mode is what the registers say, with everything inside its bounds.
type mode struct {
	kind   kind
	direct display.Geometry // of video memory, in direct modes and indexed ones

	width, height int // of the picture, in others
	double        int // pixels for one of memory, in a line
	repeat        int // lines for one scan of the row counter
	scans         int // of the row counter
	start, pitch  int // addresses: of the first line, and from one row to the next
	split         int // the first line that shows address 0 again
	mask          int // of addresses in bytes of video memory
}

// mode finds out what is to be shown.
func (d *Device) mode() mode {
	r := &d.regs
	switch {
	case r.attrIndex&0x20 == 0 || r.seq[1]&0x20 != 0:
		return mode{} // blank
	case d.dispi.on():
		return d.linearMode()
	case r.crt[0x17]&0x80 == 0:
		return mode{} // held in reset
	}
	m := mode{
		double: 1, repeat: 1, scans: int(r.crt[9]&0x1f) + 1, mask: legacyMask,
		width: (int(r.crt[1]) + 1) * 8, height: r.lines(),
		start: int(r.crt[0xc])<<8 | int(r.crt[0xd]), pitch: int(r.crt[0x13]) * 2,
		split: r.lineCompare(),
	}
	if r.crt[9]&0x80 != 0 {
		m.repeat = 2
	}
	if r.seq[1]&8 != 0 {
		m.double = 2
	}
	switch {
	case r.gfx[6]&1 == 0:
		m.kind = text
		if r.seq[1]&1 == 0 {
			m.width = m.width / 8 * 9
		}
	case r.gfx[5]&0x40 != 0:
		m.kind = bytes4
	case r.gfx[5]&0x20 != 0:
		m.kind = cga
	default:
		m.kind = planes
	}
	m.width *= m.double
	return m
}

// lines is the height of the picture.
func (r *registers) lines() int {
	return (int(r.crt[0x12]) | int(r.crt[7]&2)<<7 | int(r.crt[7]&0x40)<<3) + 1
}

func (r *registers) lineCompare() int {
	return (int(r.crt[0x18]) | int(r.crt[7]&0x10)<<4 | int(r.crt[9]&0x40)<<3) + 1
}

var dispiFormats = map[uint16]display.Format{15: display.XRGB1555, 16: display.RGB565, 24: display.RGB888, 32: display.XRGB8888}

// linearMode is what the DISPI registers say; off where that is not in video memory.
func (d *Device) linearMode() mode {
	v := &d.dispi
	width, height, stride := int(v.regs[dispiXRes]), int(v.regs[dispiYRes]), v.stride()
	x, y := int(v.regs[dispiXOffset]), int(v.regs[dispiYOffset])
	if v.bits() == 4 {
		m := mode{
			kind: planes, width: width &^ 7, height: height, double: 1, repeat: 1, scans: 1,
			start: y*stride + x/8, pitch: stride, split: maxHeight + 1, mask: len(d.vram) - 1,
		}
		if m.width == 0 || m.height == 0 || 4*stride*height > len(d.vram) {
			return mode{}
		}
		return m
	}
	format, isDirect := dispiFormats[v.regs[dispiBPP]]
	g := display.Geometry{Width: width, Height: height, Stride: stride, Offset: y*stride + x*v.bits()/8, Format: format}
	if isDirect {
		if g.Check(len(d.vram)) != nil {
			return mode{}
		}
		return mode{kind: direct, direct: g}
	}
	if width < 1 || height < 1 || g.Offset+stride*(height-1)+width > len(d.vram) {
		return mode{}
	}
	return mode{kind: indexed, direct: g, width: width, height: height}
}
