package display

import "encoding/binary"

// convert makes XRGB8888 of a line of pixels.
func convert(dst, src []byte, from Format) {
	le := binary.LittleEndian
	switch from {
	case XRGB8888:
		for len(src) >= 4 && len(dst) >= 4 {
			le.PutUint32(dst, le.Uint32(src)|0xff<<24)
			dst, src = dst[4:], src[4:]
		}
	case XBGR8888:
		for len(src) >= 4 && len(dst) >= 4 {
			v := le.Uint32(src)
			le.PutUint32(dst, 0xff<<24|v&0xff<<16|v&0xff00|v>>16&0xff)
			dst, src = dst[4:], src[4:]
		}
	case RGBX8888:
		for len(src) >= 4 && len(dst) >= 4 {
			le.PutUint32(dst, 0xff<<24|le.Uint32(src)>>8)
			dst, src = dst[4:], src[4:]
		}
	case BGRX8888:
		for len(src) >= 4 && len(dst) >= 4 {
			le.PutUint32(dst, 0xff<<24|uint32(src[1])<<16|uint32(src[2])<<8|uint32(src[3]))
			dst, src = dst[4:], src[4:]
		}
	case RGB888:
		for len(src) >= 3 && len(dst) >= 4 {
			le.PutUint32(dst, 0xff<<24|uint32(src[2])<<16|uint32(src[1])<<8|uint32(src[0]))
			dst, src = dst[4:], src[3:]
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
