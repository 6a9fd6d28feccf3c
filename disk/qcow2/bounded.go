package qcow2

import "github.com/sharevm/vmm/disk/internal/mapped"

// bounded flushes when too much of the tables waits for it.
type bounded struct {
	*mapped.Store
	table *table
}

func (b bounded) relieve() error {
	if b.table.unsaved.Load() < dirtyBytes {
		return nil
	}
	return b.Flush()
}

// WriteAt stores p at off.
func (b bounded) WriteAt(p []byte, off int64) (int, error) {
	n, err := b.Store.WriteAt(p, off)
	if err == nil {
		err = b.relieve()
	}
	return n, err
}

// WritevAt stores bufs at off.
func (b bounded) WritevAt(bufs [][]byte, off int64) (int, error) {
	n, err := b.Store.WritevAt(bufs, off)
	if err == nil {
		err = b.relieve()
	}
	return n, err
}

// WriteZeroes makes [off, off+length) read as zeroes.
func (b bounded) WriteZeroes(off, length int64, unmap bool) error {
	// A disk's worth of zero marks must not wait in memory either.
	step := int64(dirtyBytes/8) << b.table.clusterBits
	for length > 0 {
		n := min(length, step)
		if err := b.Store.WriteZeroes(off, n, unmap); err != nil {
			return err
		}
		if err := b.relieve(); err != nil {
			return err
		}
		off, length = off+n, length-n
	}
	return nil
}
