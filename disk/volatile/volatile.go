// Package volatile puts an overlay that is thrown away over an image: writes go to a temporary file without a name, and the base is never
// changed. It serves disposable machines and `vmm run --snapshot`.
//
// The temporary file is as large as the disk and sparse; a block that was written lies at its own offset there. So the overlay
// needs no tables, and a bit of memory for each 4 KiB in the parts that were written: 32 MiB for all of a disk of 1 TiB.
package volatile

import (
	"fmt"
	"sync"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/space"
	"github.com/sharevm/vmm/disk/internal/vec"
)

const (
	blockShift = 12
	blockSize  = 1 << blockShift
	// regionSize is how much is brought up at a time, under one of locks locks.
	regionSize = 256 << 10
	locks      = 64
)

// New returns an image that reads as base until it is written. Base should be open read-only; New does not write to it, and Close of
// the overlay closes it. Dir is where the temporary file goes; empty means $TMPDIR, or /var/tmp, which unlike /tmp is rarely memory.
func New(base disk.Image, dir string) (*Image, error) {
	file, err := disk.TempFile(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: temporary file for what the machine writes: %w", base.Info().Path, err)
	}
	o := &overlay{base: base, top: file, size: base.Size(), bits: newBitmap((base.Size() + blockSize - 1) >> blockShift)}
	if err := file.Truncate(o.size); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: temporary file for what the machine writes: %w", base.Info().Path, err)
	}
	return &Image{Front: space.NewFront(o, o.size, false, space.Hooks{End: o.close}), base: base, overlay: o}, nil
}

// Image is the overlay and its base.
type Image struct {
	*space.Front
	base    disk.Image
	overlay *overlay
	kept    bool // only for reading
}

// Info is the base's, but writable.
func (i *Image) Info() disk.Info {
	info := i.base.Info()
	info.ReadOnly = i.kept
	info.Variant = "volatile"
	info.Parent = info.Path
	return info
}

// Forget makes the image read as its base again, as if nothing had been written to it, what an Open of what was kept brought included. Nobody uses the image meanwhile.
func (i *Image) Forget() error {
	o := i.overlay
	if below, ok := o.base.(*Image); ok {
		o.forgotten, o.base, i.base = below, below.base, below.base
	}
	o.bits = newBitmap((o.size + blockSize - 1) >> blockShift)
	for _, size := range []int64{0, o.size} {
		if err := o.top.Truncate(size); err != nil {
			return fmt.Errorf("forget what was written to %s: %w", i.Info().Path, err)
		}
	}
	return nil
}

// overlay is the space.Space of an Image.
type overlay struct {
	base disk.Image
	top  disk.File
	size int64
	bits *bitmap // of blocks that top holds
	// forgotten is what was kept between top and base before Forget; nil where nothing was.
	forgotten *Image

	// copying has a lock for each class of regions; whoever brings a block up holds its region's.
	copying [locks]sync.Mutex
}

func (o *overlay) close(bool) error {
	base := o.base
	if o.forgotten != nil {
		base = o.forgotten
	}
	err := o.top.Close()
	if e := base.Close(); err == nil {
		err = e
	}
	return err
}

// Flush has nothing to do: what is written here is not meant to last.
func (o *overlay) Flush() error { return nil }

// run returns whether the block of off is in top, and for how many of length bytes that goes on.
func (o *overlay) run(off, length int64) (up bool, n int64) {
	block := off >> blockShift
	up = o.bits.get(block)
	n = (block+1)<<blockShift - off
	for n < length && o.bits.get((off+n)>>blockShift) == up {
		n += blockSize
	}
	return up, min(n, length)
}

func (o *overlay) ReadAt(p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		at := off + int64(done)
		up, n := o.run(at, int64(len(p)-done))
		from := o.base.ReadAt
		if up {
			from = o.top.ReadAt
		}
		m, err := from(p[done:done+int(n)], at)
		done += m
		if int64(m) < n {
			return done, err
		}
	}
	return len(p), nil
}

func (o *overlay) ReadvAt(bufs [][]byte, off int64) (int, error) {
	total := vec.Len(bufs)
	w := vec.Get()
	defer w.Put()
	for done := int64(0); done < total; {
		up, n := o.run(off+done, total-done)
		m, err := o.readv(up, w.Slice(bufs, done, n), off+done)
		done += int64(m)
		if int64(m) < n {
			return int(done), err
		}
	}
	return int(total), nil
}

func (o *overlay) readv(up bool, bufs [][]byte, off int64) (total int, err error) {
	if up {
		return o.top.ReadvAt(bufs, off)
	}
	if v, ok := o.base.(disk.VectorImage); ok {
		return v.ReadvAt(bufs, off)
	}
	for _, b := range bufs {
		n, err := o.base.ReadAt(b, off+int64(total))
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}

func (o *overlay) WriteAt(p []byte, off int64) (int, error) {
	return done(int64(len(p)), o.change(off, int64(len(p)), func(from, n int64) error {
		_, err := o.top.WriteAt(p[from-off:][:n], from)
		return err
	}))
}

func (o *overlay) WritevAt(bufs [][]byte, off int64) (int, error) {
	w := vec.Get()
	defer w.Put()
	total := vec.Len(bufs)
	return done(total, o.change(off, total, func(from, n int64) error {
		_, err := o.top.WritevAt(w.Slice(bufs, from-off, n), from)
		return err
	}))
}

// done is what a write returns: everything, or an error and nothing that could be relied on.
func done(n int64, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return int(n), nil
}

func (o *overlay) WriteZeroes(off, length int64, unmap bool) error {
	return o.change(off, length, func(from, n int64) error { return o.top.Zero(from, n, unmap) })
}

// Discard frees what top holds of the range; it reads as zeroes then. The base's part stays.
func (o *overlay) Discard(off, length int64) error {
	for length > 0 {
		up, n := o.run(off, length)
		if up {
			if err := o.top.Discard(off, n); err != nil {
				return err
			}
		}
		off, length = off+n, length-n
	}
	return nil
}

// change has write alter the range in top, in pieces: what is there already at once, the rest region by region.
func (o *overlay) change(off, length int64, write func(from, n int64) error) error {
	for length > 0 {
		up, n := o.run(off, length)
		var err error
		if up {
			err = write(off, n)
		} else {
			n = min(length, (off/regionSize+1)*regionSize-off)
			err = o.bringUp(off, n, write)
		}
		if err != nil {
			return err
		}
		off, length = off+n, length-n
	}
	return nil
}

// bringUp is change for a range in one region. Blocks that it alters in part are copied from the base first.
func (o *overlay) bringUp(off, n int64, write func(from, n int64) error) error {
	mu := &o.copying[off/regionSize%locks]
	mu.Lock()
	defer mu.Unlock()
	first, last := off>>blockShift, (off+n-1)>>blockShift
	if off%blockSize != 0 {
		if err := o.copyUp(first); err != nil {
			return err
		}
	}
	if end := off + n; end%blockSize != 0 && end != o.size {
		if err := o.copyUp(last); err != nil {
			return err
		}
	}
	if err := write(off, n); err != nil {
		return err
	}
	for b := first; b <= last; b++ {
		o.bits.set(b)
	}
	return nil
}

// copyUp copies a block from the base, unless top has it. Called with its region locked.
func (o *overlay) copyUp(block int64) error {
	if o.bits.get(block) {
		return nil
	}
	var buf [blockSize]byte
	off := block << blockShift
	p := buf[:min(blockSize, o.size-off)]
	if _, err := o.base.ReadAt(p, off); err != nil {
		return err
	}
	if _, err := o.top.WriteAt(p, off); err != nil {
		return err
	}
	o.bits.set(block)
	return nil
}

// Extents reports what was written as data of this image, and the rest as the base does, one deeper.
func (o *overlay) Extents(off, length, base int64, yield func(disk.Extent) bool) (bool, error) {
	more := true
	for length > 0 && more {
		up, n := o.run(off, length)
		if up {
			more = yield(disk.Extent{Offset: base + off, Length: n, Kind: disk.Data, Host: off})
		} else if err := o.base.Extents(off, n, func(e disk.Extent) bool {
			e.Offset += base
			e.Depth++
			more = yield(e)
			return more
		}); err != nil {
			return false, err
		}
		off, length = off+n, length-n
	}
	return more, nil
}
