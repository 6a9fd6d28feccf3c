package inflate

import "encoding/binary"

// fast decodes as long as src and dst have their margins, and says whether the block has ended. State is in variables, which the compiler keeps in
// registers.
func (s *stream) fast(lit *[litRoom]entry, dist *[distRoom]entry) (end bool, err error) {
	src, dst, in, out, buf, n := s.src, s.dst, s.in, s.out, s.buf, s.n
	lastIn, lastOut := len(src)-inMargin, len(dst)-outMargin
	for in <= lastIn && out <= lastOut {
		buf |= binary.LittleEndian.Uint64(src[in:]) << (n & 63)
		in += int(63-n) >> 3
		n |= 56

		// Three literals have 33 bits at most, unless one of them is in a subtable, which ends the round.
		e := lit[buf&(1<<litBits-1)]
		if e&isLiteral != 0 {
			buf >>= e.total()
			n -= e.total()
			dst[out] = byte(e >> 16)
			out++
			if e = lit[buf&(1<<litBits-1)]; e&isLiteral != 0 {
				buf >>= e.total()
				n -= e.total()
				dst[out] = byte(e >> 16)
				out++
				if e = lit[buf&(1<<litBits-1)]; e&isLiteral != 0 {
					buf >>= e.total()
					n -= e.total()
					dst[out] = byte(e >> 16)
					out++
					continue
				}
			}
		}
		if e&special != 0 {
			if e&isSub != 0 {
				buf >>= litBits
				n -= litBits
				e = lit[uint64(e.value())+buf&(1<<e.code()-1)]
			}
			if e&isLiteral != 0 {
				buf >>= e.total()
				n -= e.total()
				dst[out] = byte(e >> 16)
				out++
				continue
			}
			if e&special != 0 {
				buf >>= e.total()
				n -= e.total()
				if end = e&isEnd != 0; !end {
					err = ErrInvalid
				}
				break
			}
		}
		length := int(e.value()) + int(buf&(1<<e.total()-1)>>e.code())
		buf >>= e.total()
		n -= e.total()

		buf |= binary.LittleEndian.Uint64(src[in:]) << (n & 63)
		in += int(63-n) >> 3
		n |= 56
		e = dist[buf&(1<<distBits-1)]
		if e&special != 0 {
			if e&isSub != 0 {
				buf >>= distBits
				n -= distBits
				e = dist[uint64(e.value())+buf&(1<<e.code()-1)]
			}
			if e&special != 0 {
				err = ErrInvalid
				break
			}
		}
		distance := int(e.value()) + int(buf&(1<<e.total()-1)>>e.code())
		buf >>= e.total()
		n -= e.total()
		from := out - distance
		if from < 0 {
			err = ErrInvalid
			break
		}
		to := out + length
		switch {
		case length > 32:
			for k := out; k < to; {
				k += copy(dst[k:to], dst[from:k])
			}
		case distance >= 8: // a word may go beyond the end of the copy, into the margin
			for k := out; k < to; k += 8 {
				binary.LittleEndian.PutUint64(dst[k:], binary.LittleEndian.Uint64(dst[from:]))
				from += 8
			}
		case distance == 1:
			word := uint64(dst[from]) * 0x0101010101010101
			for k := out; k < to; k += 8 {
				binary.LittleEndian.PutUint64(dst[k:], word)
			}
		default:
			for k := out; k < to; k++ {
				dst[k] = dst[from]
				from++
			}
		}
		out = to
	}
	s.in, s.out, s.buf, s.n = in, out, buf, n
	return end, err
}
