package space

import (
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/vec"
)

// Front stands in front of an image's [Space]: it checks ranges, refuses writes to what is read-only and use after Close, and runs
// the preparations of the first write. Formats embed it and add Info.
type Front struct {
	space    Space
	size     int64
	readOnly bool
	begin    func() error
	end      func(clean bool) error

	closed  atomic.Bool
	begun   atomic.Bool
	touched atomic.Bool
	mu      sync.Mutex // held while begin runs
}

// Hooks are what a format has to do itself. Either may be nil.
type Hooks struct {
	Begin func() error // before the first change of a session; again if it failed
	// End runs at Close, after the last flush: it closes the files. With clean the image was changed in this session and
	// everything reached it, so that it may be marked clean.
	End func(clean bool) error
}

// Closing is the End of a format that has nothing to mark.
func Closing(file disk.File) func(bool) error {
	return func(bool) error { return file.Close() }
}

// NewFront returns the front of a disk of size bytes in s.
func NewFront(s Space, size int64, readOnly bool, h Hooks) *Front {
	return &Front{space: s, size: size, readOnly: readOnly, begin: h.Begin, end: h.End}
}

// Touch notes a change of f's files that was no write to the disk, so that Close has them marked clean as after one. It is no method because
// images embed the Front.
func Touch(f *Front) { f.touched.Store(true) }

// Size is the capacity in bytes.
func (f *Front) Size() int64 { return f.size }

// Begin does for a change that goes past f what f does itself for a write: it refuses it, or has the session begun.
func Begin(f *Front) error { return f.checkWrite(0, 0) }

// Replace puts another space of size bytes in the place of f's. No other call may be in flight.
func Replace(f *Front, s Space, size int64) { f.space, f.size = s, size }

// SetSize changes the capacity. No other call may be in flight.
func SetSize(f *Front, size int64) { f.size = size }

func (f *Front) check(off, length int64) error {
	if f.closed.Load() {
		return disk.ErrClosed
	}
	return disk.CheckRange(f.size, off, length)
}

func (f *Front) checkWrite(off, length int64) error {
	if err := f.check(off, length); err != nil {
		return err
	}
	if f.readOnly {
		return disk.ErrReadOnly
	}
	if f.begun.Load() {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun.Load() {
		return nil
	}
	if f.begin != nil {
		if err := f.begin(); err != nil {
			return err
		}
	}
	f.begun.Store(true)
	return nil
}

// ReadAt implements [disk.Image].
func (f *Front) ReadAt(p []byte, off int64) (int, error) {
	if err := f.check(off, int64(len(p))); err != nil {
		return 0, err
	}
	return f.space.ReadAt(p, off)
}

// ReadvAt implements [disk.VectorImage].
func (f *Front) ReadvAt(bufs [][]byte, off int64) (int, error) {
	if err := f.check(off, vec.Len(bufs)); err != nil {
		return 0, err
	}
	return f.space.ReadvAt(bufs, off)
}

// WriteAt implements [disk.Image].
func (f *Front) WriteAt(p []byte, off int64) (int, error) {
	if err := f.checkWrite(off, int64(len(p))); err != nil {
		return 0, err
	}
	return f.space.WriteAt(p, off)
}

// WritevAt implements [disk.VectorImage].
func (f *Front) WritevAt(bufs [][]byte, off int64) (int, error) {
	if err := f.checkWrite(off, vec.Len(bufs)); err != nil {
		return 0, err
	}
	return f.space.WritevAt(bufs, off)
}

// WriteZeroes implements [disk.Image].
func (f *Front) WriteZeroes(off, length int64, unmap bool) error {
	if err := f.checkWrite(off, length); err != nil {
		return err
	}
	return f.space.WriteZeroes(off, length, unmap)
}

// Discard implements [disk.Image].
func (f *Front) Discard(off, length int64) error {
	if err := f.checkWrite(off, length); err != nil {
		return err
	}
	return f.space.Discard(off, length)
}

// Extents implements [disk.Image].
func (f *Front) Extents(off, length int64, yield func(disk.Extent) bool) error {
	if err := f.check(off, length); err != nil {
		return err
	}
	_, err := f.space.Extents(off, length, 0, yield)
	return err
}

// Flush implements [disk.Image].
func (f *Front) Flush() error {
	if f.closed.Load() {
		return disk.ErrClosed
	}
	return f.space.Flush()
}

// Close implements [disk.Image]. A second call returns [disk.ErrClosed].
func (f *Front) Close() error {
	if f.closed.Swap(true) {
		return disk.ErrClosed
	}
	err := f.space.Flush()
	if f.end != nil {
		if e := f.end(err == nil && (f.begun.Load() || f.touched.Load())); err == nil {
			err = e
		}
	}
	return err
}
