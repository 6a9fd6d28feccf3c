package vmdk

import (
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/mapped"
	"github.com/sharevm/vmm/disk/internal/space"
	"github.com/sharevm/vmm/disk/internal/vec"
)

// zeroes is the Space of a ZERO extent, and of what has no file to store anything in. Writes fail with err.
type zeroes struct {
	err    error // of writes
	access error // of reads, or nil
}

func (z zeroes) ReadAt(p []byte, _ int64) (int, error) {
	if z.access != nil {
		return 0, z.access
	}
	clear(p)
	return len(p), nil
}

func (z zeroes) ReadvAt(bufs [][]byte, _ int64) (int, error) {
	if z.access != nil {
		return 0, z.access
	}
	n := vec.Len(bufs)
	vec.Clear(bufs, 0, n)
	return int(n), nil
}

func (z zeroes) WriteAt([]byte, int64) (int, error)    { return 0, z.err }
func (z zeroes) WritevAt([][]byte, int64) (int, error) { return 0, z.err }
func (z zeroes) WriteZeroes(_, _ int64, _ bool) error  { return z.access }
func (z zeroes) Discard(int64, int64) error            { return z.access }
func (z zeroes) Flush() error                          { return nil }
func (z zeroes) Extents(off, length, base int64, yield func(disk.Extent) bool) (bool, error) {
	return yield(disk.Extent{Offset: base + off, Length: length, Kind: disk.Zero, Host: -1}), nil
}

// frozen is the Space of an RDONLY extent.
type frozen struct{ space.Space }

func (frozen) WriteAt([]byte, int64) (int, error)    { return 0, disk.ErrReadOnly }
func (frozen) WritevAt([][]byte, int64) (int, error) { return 0, disk.ErrReadOnly }
func (frozen) WriteZeroes(int64, int64, bool) error  { return disk.ErrReadOnly }
func (frozen) Discard(int64, int64) error            { return disk.ErrReadOnly }

// writable is a sparse extent that a session may write to.
type writable interface {
	space.Space
	begin() error   // before the first change: mark it as being written
	end() error     // at Close, after the last Flush: end the file properly and take the mark away, durably
	recover() error // at Open: put it right if the last writer did not do that
	repair() error  // put it right, whoever spoiled it
	// resize changes the capacity from what the disk uses of it, in sectors. It is durable as soon as the header tells of it, and all of it when resize
	// returns. Cover is called when there is more room and before anybody can see it, to hide what a parent has there.
	resize(from, to int64, cover func() error) error
	name() string
}

// sparseSpace is a sparse extent in use.
type sparseSpace struct {
	*mapped.Store
	table *sparse
}

// WriteAt stores p at off.
func (s sparseSpace) WriteAt(p []byte, off int64) (int, error) {
	if err := s.relieve(); err != nil {
		return 0, err
	}
	return s.Store.WriteAt(p, off)
}

// WritevAt stores bufs at off.
func (s sparseSpace) WritevAt(bufs [][]byte, off int64) (int, error) {
	if err := s.relieve(); err != nil {
		return 0, err
	}
	return s.Store.WritevAt(bufs, off)
}

// relieve publishes the tables that wait for it when they take too much memory. Otherwise somebody who never flushes, such as a program that
// copies a large disk, would have all of them there.
func (s sparseSpace) relieve() error {
	if !s.table.unsaved.Load() || !s.table.unsaved.Swap(false) {
		return nil
	}
	return s.Flush()
}

// mark sets or clears the header's sign that a writer is at work.
func (s sparseSpace) mark(unclean bool) error {
	b := [1]byte{}
	if unclean {
		b[0] = 1
	}
	s.Wrote()
	_, err := s.table.file.WriteAt(b[:], uncleanAt)
	return err
}

func (s sparseSpace) name() string { return s.table.file.Name() }
