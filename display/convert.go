package display

import (
	"encoding/binary"
	"math/bits"
)

// opaque sets the unused bytes of two pixels.
const opaque = 0xff000000_ff000000

// convert makes XRGB8888 of a line of pixels. The guest may write to src meanwhile: each byte is read once.
func convert(dst, src []byte, from Format) {
	switch from {
	case XRGB8888:
		dst, src = convertSame(dst, src)
	case XBGR8888:
		dst, src = convertSwapped(dst, src)
	case RGB888:
		dst, src = convertPacked(dst, src)
	}
	convertEach(dst, src, from)
}

// block is how many bytes of the result the loops below make at a time: eight pixels.
const block = 32

// convertSame converts whole blocks of XRGB8888 and returns what is left.
func convertSame(dst, src []byte) ([]byte, []byte) {
	le := binary.LittleEndian
	for len(src) >= block && len(dst) >= block {
		s, d := (*[block]byte)(src), (*[block]byte)(dst)
		le.PutUint64(d[0:], le.Uint64(s[0:])|opaque)
		le.PutUint64(d[8:], le.Uint64(s[8:])|opaque)
		le.PutUint64(d[16:], le.Uint64(s[16:])|opaque)
		le.PutUint64(d[24:], le.Uint64(s[24:])|opaque)
		dst, src = dst[block:], src[block:]
	}
	return dst, src
}

// convertSwapped is convertSame for XBGR8888.
func convertSwapped(dst, src []byte) ([]byte, []byte) {
	le := binary.LittleEndian
	const low, green = 0x000000ff_000000ff, 0x0000ff00_0000ff00
	for len(src) >= block && len(dst) >= block {
		s, d := (*[block]byte)(src), (*[block]byte)(dst)
		for i := 0; i < block; i += 8 {
			v := le.Uint64(s[i:])
			le.PutUint64(d[i:], opaque|v&green|v>>16&low|v&low<<16)
		}
		dst, src = dst[block:], src[block:]
	}
	return dst, src
}

// convertPacked is convertSame for RGB888, four pixels at a time.
func convertPacked(dst, src []byte) ([]byte, []byte) {
	le := binary.LittleEndian
	const from, to, colours = 12, 16, 0xffffff
	for len(src) >= from && len(dst) >= to {
		s, d := (*[from]byte)(src), (*[to]byte)(dst)
		v, rest := le.Uint64(s[0:]), uint64(le.Uint32(s[8:]))
		le.PutUint64(d[0:], opaque|v&colours|v>>24&colours<<32)
		le.PutUint64(d[8:], opaque|v>>48|rest&0xff<<16|rest>>8<<32)
		dst, src = dst[to:], src[from:]
	}
	return dst, src
}

// convertEach converts pixel by pixel.
func convertEach(dst, src []byte, from Format) {
	le := binary.LittleEndian
	bpp := from.BytesPerPixel()
	n := min(len(dst)/4, len(src)/bpp)
	dst, src = dst[:4*n], src[:bpp*n]
	switch from {
	case XRGB8888:
		for i := 0; i < len(src); i += 4 {
			le.PutUint32(dst[i:], 0xff<<24|le.Uint32(src[i:]))
		}
	case XBGR8888:
		for i := 0; i < len(src); i += 4 {
			v := le.Uint32(src[i:])
			le.PutUint32(dst[i:], 0xff<<24|v&0xff<<16|v&0xff00|v>>16&0xff)
		}
	case RGBX8888:
		for i := 0; i < len(src); i += 4 {
			le.PutUint32(dst[i:], 0xff<<24|le.Uint32(src[i:])>>8)
		}
	case BGRX8888:
		for i := 0; i < len(src); i += 4 {
			le.PutUint32(dst[i:], 0xff<<24|bits.ReverseBytes32(le.Uint32(src[i:])))
		}
	case RGB888:
		for i := range n {
			s := src[3*i : 3*i+3]
			le.PutUint32(dst[4*i:], 0xff<<24|uint32(s[2])<<16|uint32(s[1])<<8|uint32(s[0]))
		}
	case RGB565:
		for len(src) >= 2 && len(dst) >= 4 {
			v := uint32(le.Uint16(src))
			r, g, b := v>>11, v>>5&63, v&31
			le.PutUint32(dst, 0xff<<24|(r<<3|r>>2)<<16|(g<<2|g>>4)<<8|(b<<3|b>>2))
			dst, src = dst[4:], src[2:]
		}
	case XRGB1555:
		for len(src) >= 2 && len(dst) >= 4 {
			v := uint32(le.Uint16(src))
			r, g, b := v>>10&31, v>>5&31, v&31
			le.PutUint32(dst, 0xff<<24|(r<<3|r>>2)<<16|(g<<3|g>>2)<<8|(b<<3|b>>2))
			dst, src = dst[4:], src[2:]
		}
	}
}
