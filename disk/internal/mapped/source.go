package mapped

import (
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/vec"
)

// source is what a write stores: bytes, buffers, or zeroes.
type source struct {
	p      []byte
	bufs   [][]byte
	window *vec.Window // of bufs, if that is not nil
	done   int64       // bytes that are stored already
	total  int64
}

// store writes the next n bytes to host, which reads as zeroes if the source is zeroes.
func (s *source) store(file disk.File, host, n int64) (int, error) {
	switch {
	case s.p != nil:
		return file.WriteAt(s.p[s.done:s.done+n], host)
	case s.bufs == nil:
		return int(n), nil
	case n == s.total:
		return file.WritevAt(s.bufs, host)
	}
	return file.WritevAt(s.window.Slice(s.bufs, s.done, n), host)
}
