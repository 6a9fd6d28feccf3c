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

// named adds to an error what was being done to which file.
func (i *Image) named(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s: %w", i.info.Path, what, err)
}
