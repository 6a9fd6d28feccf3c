// Package exchange is a disk whose image another one can take the place of while nobody uses it: the machine that works on it keeps one and the same disk.Image.
package exchange

import (
	"fmt"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
)

// Image is whichever image is in its place.
type Image struct{ now atomic.Pointer[disk.Image] }

var _ disk.VectorImage = (*Image)(nil)

// New has img begin in the place.
func New(img disk.Image) *Image {
	i := &Image{}
	i.now.Store(&img)
	return i
}

// Exchange puts next into the place and returns what was there, which the caller has to close. No access may be under way.
func (i *Image) Exchange(next disk.Image) (old disk.Image, err error) {
	if was, is := i.Size(), next.Size(); was != is {
		return nil, fmt.Errorf("a disk of %d bytes cannot take the place of one of %d", is, was)
	}
	return *i.now.Swap(&next), nil
}

func (i *Image) image() disk.Image { return *i.now.Load() }

// ReadAt implements disk.Image.
func (i *Image) ReadAt(p []byte, off int64) (int, error) { return i.image().ReadAt(p, off) }

// WriteAt implements disk.Image.
func (i *Image) WriteAt(p []byte, off int64) (int, error) { return i.image().WriteAt(p, off) }

// ReadvAt implements disk.VectorImage.
func (i *Image) ReadvAt(bufs [][]byte, off int64) (int, error) {
	if v, ok := i.image().(disk.VectorImage); ok {
		return v.ReadvAt(bufs, off)
	}
	return total(bufs, disk.ReadVector(i.image(), bufs, off))
}

// WritevAt implements disk.VectorImage.
func (i *Image) WritevAt(bufs [][]byte, off int64) (int, error) {
	if v, ok := i.image().(disk.VectorImage); ok {
		return v.WritevAt(bufs, off)
	}
	return total(bufs, disk.WriteVector(i.image(), bufs, off))
}

// total is what a transfer has moved that is all or an error.
func total(bufs [][]byte, err error) (n int, _ error) {
	if err != nil {
		return 0, err
	}
	for _, p := range bufs {
		n += len(p)
	}
	return n, nil
}

// Flush implements disk.Image.
func (i *Image) Flush() error { return i.image().Flush() }

// WriteZeroes implements disk.Image.
func (i *Image) WriteZeroes(off, length int64, unmap bool) error {
	return i.image().WriteZeroes(off, length, unmap)
}

// Discard implements disk.Image.
func (i *Image) Discard(off, length int64) error { return i.image().Discard(off, length) }

// Extents implements disk.Image.
func (i *Image) Extents(off, length int64, yield func(disk.Extent) bool) error {
	return i.image().Extents(off, length, yield)
}

// Size implements disk.Image.
func (i *Image) Size() int64 { return i.image().Size() }

// Info implements disk.Image.
func (i *Image) Info() disk.Info { return i.image().Info() }

// Close implements disk.Image.
func (i *Image) Close() error { return i.image().Close() }
