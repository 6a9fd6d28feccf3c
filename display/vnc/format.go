package vnc

import (
	"encoding/binary"
	"errors"
	"slices"
)

// pixelFormat is how a viewer wants pixels (RFC 6143, section 7.4).
type pixelFormat struct {
	bytes     int // of a pixel: 1, 2 or 4
	depth     uint8
	bigEndian bool
	max       [3]uint16 // red, green, blue
	shift     [3]uint8
	own       bool // it is ownFormat
}

// ownFormat is what a surface's frame is copied to: 0x00RRGGBB in little-endian order.
var ownFormat = pixelFormat{bytes: 4, depth: 24, max: [3]uint16{255, 255, 255}, shift: [3]uint8{16, 8, 0}, own: true}

// formatSize is the length of a PIXEL_FORMAT.
const formatSize = 16

func (f pixelFormat) encode() []byte {
	b := make([]byte, formatSize)
	b[0], b[1], b[3] = uint8(f.bytes*8), f.depth, 1
	if f.bigEndian {
		b[2] = 1
	}
	for i := range 3 {
		binary.BigEndian.PutUint16(b[4+2*i:], f.max[i])
		b[10+i] = f.shift[i]
	}
	return b
}

// parseFormat reads a PIXEL_FORMAT. Formats with a colour map are refused: no viewer of today asks for one.
func parseFormat(b []byte) (f pixelFormat, err error) {
	f = pixelFormat{bytes: int(b[0]) / 8, depth: b[1], bigEndian: b[2] != 0}
	if b[0] != 8 && b[0] != 16 && b[0] != 32 {
		return f, errors.New("a pixel must have 8, 16 or 32 bits")
	}
	if b[3] == 0 {
		return f, errors.New("colour maps are not supported")
	}
	for i := range 3 {
		f.max[i], f.shift[i] = binary.BigEndian.Uint16(b[4+2*i:]), b[10+i]
		if int(f.shift[i]) >= f.bytes*8 || uint64(f.max[i])<<f.shift[i] >= 1<<(8*f.bytes) || f.max[i]&(f.max[i]+1) != 0 {
			return f, errors.New("a colour does not fit into its pixel")
		}
	}
	like := f
	like.own = true
	f.own = like == ownFormat
	return f, nil
}

// value is a colour 0xRRGGBB in the format.
func (f *pixelFormat) value(rgb uint32) uint32 {
	scale := func(v uint32, i int) uint32 { return (v*uint32(f.max[i]) + 127) / 255 << f.shift[i] }
	return scale(rgb>>16&0xff, 0) | scale(rgb>>8&0xff, 1) | scale(rgb&0xff, 2)
}

// put appends a pixel.
func (f *pixelFormat) put(b []byte, rgb uint32) []byte {
	if f.own {
		return binary.LittleEndian.AppendUint32(b, rgb&0xffffff)
	}
	v := f.value(rgb)
	switch {
	case f.bytes == 1:
		return append(b, byte(v))
	case f.bytes == 2 && f.bigEndian:
		return binary.BigEndian.AppendUint16(b, uint16(v))
	case f.bytes == 2:
		return binary.LittleEndian.AppendUint16(b, uint16(v))
	case f.bigEndian:
		return binary.BigEndian.AppendUint32(b, v)
	}
	return binary.LittleEndian.AppendUint32(b, v)
}

// compact is how ZRLE leaves out the byte of a pixel that holds no colour (CPIXEL, section 7.7.5): from is the first byte of n that stay.
func (f *pixelFormat) compact() (from, n int) {
	if f.bytes != 4 || f.depth > 24 {
		return 0, f.bytes
	}
	used := uint32(f.max[0])<<f.shift[0] | uint32(f.max[1])<<f.shift[1] | uint32(f.max[2])<<f.shift[2]
	low, high := used < 1<<24, used&0xff == 0
	switch {
	case low && !f.bigEndian, high && !low && f.bigEndian:
		return 0, 3
	case low, high:
		return 1, 3
	}
	return 0, 4
}

// putCompactLine appends CPIXELs.
func (f *pixelFormat) putCompactLine(b []byte, line []uint32) []byte {
	if f.own {
		return putThree(b, line, false)
	}
	from, n := f.compact()
	for _, rgb := range line {
		at := len(b)
		b = f.put(b, rgb)
		b = append(b[:at], b[at+from:at+from+n]...)
	}
	return b
}

// putThree appends pixels of three bytes: B, G, R, or R, G, B.
func putThree(b []byte, line []uint32, redFirst bool) []byte {
	at := len(b)
	b = slices.Grow(b, 3*len(line))[:at+3*len(line)]
	low, high := 0, 16
	if redFirst {
		low, high = 16, 0
	}
	for to := b[at:]; len(line) > 0 && len(to) >= 3; line, to = line[1:], to[3:] {
		v := line[0]
		to[0], to[1], to[2] = byte(v>>low), byte(v>>8), byte(v>>high)
	}
	return b
}

// tightPixel says whether Tight sends pixels as three bytes R, G, B (TPIXEL).
func (f *pixelFormat) tightPixel() bool {
	return f.bytes == 4 && f.depth == 24 && f.max == [3]uint16{255, 255, 255}
}

// putTightLine appends TPIXELs.
func (f *pixelFormat) putTightLine(b []byte, line []uint32) []byte {
	if f.tightPixel() {
		return putThree(b, line, true)
	}
	for _, rgb := range line {
		b = f.put(b, rgb)
	}
	return b
}
