package chain

import (
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/vec"
)

// Window is the part of a parent that lies below a child's storage. What is beyond the parent's end reads as zeroes.
type Window struct {
	Image disk.Image
	Base  int64 // where it starts in the parent
}

// inside is how many of n bytes at off the parent has.
func (w Window) inside(off, n int64) int64 {
	return max(0, min(n, w.Image.Size()-w.Base-off))
}

// ReadAt fills p from off.
func (w Window) ReadAt(p []byte, off int64) (int, error) {
	n := w.inside(off, int64(len(p)))
	if n > 0 {
		if m, err := w.Image.ReadAt(p[:n], w.Base+off); err != nil {
			return m, err
		}
	}
	clear(p[n:])
	return len(p), nil
}

// ReadvAt fills bufs from off.
func (w Window) ReadvAt(bufs [][]byte, off int64) (int, error) {
	total := vec.Len(bufs)
	if v, ok := w.Image.(disk.VectorImage); ok && w.inside(off, total) == total {
		return v.ReadvAt(bufs, w.Base+off)
	}
	done := 0
	for _, b := range bufs {
		n, err := w.ReadAt(b, off+int64(done))
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}

// Extents reports what the parent and those below it have in [off, off+length), with base added to the offsets and Depth
// counted from the child. It returns false once yield did.
func (w Window) Extents(off, length, base int64, yield func(disk.Extent) bool) (bool, error) {
	n, more := w.inside(off, length), true
	if n > 0 {
		err := w.Image.Extents(w.Base+off, n, func(e disk.Extent) bool {
			e.Offset += base - w.Base
			e.Depth++
			more = yield(e)
			return more
		})
		if err != nil || !more {
			return more, err
		}
	}
	if n < length {
		more = yield(disk.Extent{Offset: base + off + n, Length: length - n, Kind: disk.Hole, Host: -1})
	}
	return more, nil
}

// Zero says whether the parent is known to read as zeroes in all of [off, off+length).
func (w Window) Zero(off, length int64) (bool, error) {
	return w.Extents(off, length, 0, func(e disk.Extent) bool { return e.Kind != disk.Data })
}
