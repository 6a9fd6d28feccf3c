package blk_test

import (
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/imagetest"
)

func newImage(size int) *imagetest.Image { return imagetest.New(size, disk.Info{}) }

// vectorImage is an image that is a disk.VectorImage too.
type vectorImage struct {
	*imagetest.Image
	vectors atomic.Int32 // vectored calls
	longest atomic.Int32 // most buffers in one
}

func (m *vectorImage) note(bufs [][]byte) {
	m.vectors.Add(1)
	m.longest.Store(max(m.longest.Load(), int32(len(bufs))))
}

func (m *vectorImage) ReadvAt(bufs [][]byte, off int64) (n int, err error) {
	m.note(bufs)
	for _, p := range bufs {
		k, err := m.ReadAt(p, off+int64(n))
		if n += k; err != nil {
			return n, err
		}
	}
	return n, nil
}

func (m *vectorImage) WritevAt(bufs [][]byte, off int64) (n int, err error) {
	m.note(bufs)
	for _, p := range bufs {
		k, err := m.WriteAt(p, off+int64(n))
		if n += k; err != nil {
			return n, err
		}
	}
	return n, nil
}
