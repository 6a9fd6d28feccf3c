package vhdx

import (
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/space"
)

var (
	_ disk.Resizer     = (*Image)(nil)
	_ disk.Relinker    = (*Image)(nil)
	_ disk.Arrangeable = (*Image)(nil)
)

// maintain makes the image ready for an operation on its tables: everything written so far is durable, the log is empty, and what is in use of
// the file is known.
func (i *Image) maintain() error {
	if err := i.Flush(); err != nil { // a closed image says so
		return err
	}
	if i.options.ReadOnly {
		return disk.ErrReadOnly
	}
	if err := i.table.settle(); err != nil {
		return err
	}
	space.Touch(i.Front)
	return i.table.takeStock()
}

// finish ends an operation on the tables: the log becomes empty, and the file ends behind what is in use.
func (i *Image) finish() error {
	if err := i.table.takeStock(); err != nil {
		return err
	}
	return i.table.settle()
}

// foresee refuses a revision that leaves other metadata than it means to, because a hostile file has items that overlap.
func (i *Image) foresee(v *revision, size int64, parent bool) error {
	r := i.table.regions.metadata
	m, err := readMetadata(v.view(r.end), r)
	if err != nil {
		return err
	}
	want := *i.metadata
	want.size, want.locator, want.fixed = size, m.locator, want.fixed && !parent
	if *m != want || parent != (m.locator != nil) {
		return disk.Corrupt(i.info.Path, r.start, "items of the metadata overlap")
	}
	return nil
}

// named adds to an error what was being done to which file.
func (i *Image) named(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s: %w", i.info.Path, what, err)
}
