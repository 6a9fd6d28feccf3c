package network

// Len is the number of bytes that bufs hold together.
func Len(bufs [][]byte) int {
	n := 0
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

// CopyHeader copies the first HeaderLen bytes of bufs, which may be spread over several, into h. It returns false when
// bufs hold fewer. A guest may change its memory at any time, so a carrier looks at the copy only.
func CopyHeader(h *[HeaderLen]byte, bufs [][]byte) bool {
	n := 0
	for _, b := range bufs {
		n += copy(h[n:], b)
		if n == HeaderLen {
			return true
		}
	}
	return false
}

// Scatter fills several buffers, one after the other, from pieces that come one after the other.
type Scatter struct {
	bufs [][]byte
	skip int // bytes of bufs[0] that are filled
}

// ScatterTo returns a Scatter that fills bufs, whose slice headers it leaves alone.
func ScatterTo(bufs [][]byte) Scatter { return Scatter{bufs: bufs} }

// Write copies p, and as much of it as there is room for. It returns the count.
func (s *Scatter) Write(p []byte) int {
	n := 0
	for len(s.bufs) > 0 && n < len(p) {
		c := copy(s.bufs[0][s.skip:], p[n:])
		n += c
		s.skip += c
		if s.skip == len(s.bufs[0]) {
			s.bufs, s.skip = s.bufs[1:], 0
		}
	}
	return n
}

// Skip leaves the next n bytes as they are.
func (s *Scatter) Skip(n int) {
	for len(s.bufs) > 0 && n > 0 {
		c := min(n, len(s.bufs[0])-s.skip)
		n -= c
		s.skip += c
		if s.skip == len(s.bufs[0]) {
			s.bufs, s.skip = s.bufs[1:], 0
		}
	}
}
