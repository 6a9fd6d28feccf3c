package space

import (
	"io"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/flush"
)

// Flat is a Space that lies in a file in one piece.
type Flat struct {
	file  disk.File
	base  int64 // where it begins in the file
	flush *flush.Flusher
}

// NewFlat returns the Space that begins at byte base of file.
func NewFlat(file disk.File, base int64) *Flat {
	return &Flat{file: file, base: base, flush: flush.New()}
}

// ReadAt fills p from off.
func (f *Flat) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.file.ReadAt(p, f.base+off)
	return n, f.whole(n == len(p), off+int64(n), err)
}

// ReadvAt fills bufs from off.
func (f *Flat) ReadvAt(bufs [][]byte, off int64) (int, error) {
	n, err := f.file.ReadvAt(bufs, f.base+off)
	return n, f.whole(err == nil, off+int64(n), err)
}

// whole makes an error of a read that met the end of the file, which has become shorter since it was opened.
func (f *Flat) whole(all bool, off int64, err error) error {
	switch {
	case all:
		return nil
	case err == nil || err == io.EOF:
		return disk.Corrupt(f.file.Name(), f.base+off, "the file ends inside the disk's data")
	}
	return err
}

// WriteAt stores p at off.
func (f *Flat) WriteAt(p []byte, off int64) (int, error) {
	defer f.flush.Wrote()
	return f.file.WriteAt(p, f.base+off)
}

// WritevAt stores bufs at off.
func (f *Flat) WritevAt(bufs [][]byte, off int64) (int, error) {
	defer f.flush.Wrote()
	return f.file.WritevAt(bufs, f.base+off)
}

// WriteZeroes makes [off, off+length) read as zeroes.
func (f *Flat) WriteZeroes(off, length int64, unmap bool) error {
	defer f.flush.Wrote()
	return f.file.Zero(f.base+off, length, unmap)
}

// Discard gives the range back to the host's file system.
func (f *Flat) Discard(off, length int64) error {
	defer f.flush.Wrote()
	return f.file.Discard(f.base+off, length)
}

// Extents tells the file's holes from its data.
func (f *Flat) Extents(off, length, base int64, yield func(disk.Extent) bool) (bool, error) {
	for end := off + length; off < end; {
		start, stop, err := f.file.NextData(f.base + off)
		if err != nil {
			return false, err
		}
		start, stop = start-f.base, stop-f.base
		if start >= stop { // the file has no more data
			start, stop = end, end
		}
		if start > off {
			hole := min(start, end) - off
			if !yield(disk.Extent{Offset: base + off, Length: hole, Kind: disk.Hole, Host: -1}) {
				return false, nil
			}
			off += hole
		}
		if data := min(stop, end) - off; data > 0 {
			if !yield(disk.Extent{Offset: base + off, Length: data, Kind: disk.Data, Host: f.base + off}) {
				return false, nil
			}
			off += data
		}
	}
	return true, nil
}

// Flush makes completed writes durable.
func (f *Flat) Flush() error {
	return f.flush.Do(func() error { return f.flush.Sync(f.file.Sync) })
}
