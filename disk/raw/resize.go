package raw

import (
	"fmt"

	"github.com/sharevm/vmm/disk"
)

var _ disk.Resizer = (*Image)(nil)

// Resize implements [disk.Resizer]. A block device has the size that it has: the error wraps [disk.ErrUnsupported].
func (i *Image) Resize(size int64) error {
	if err := i.Flush(); err != nil {
		return err
	}
	switch {
	case i.info.ReadOnly:
		return fmt.Errorf("%s: resize: %w", i.info.Path, disk.ErrReadOnly)
	case size < 0:
		return fmt.Errorf("%s: resize: negative size %d", i.info.Path, size)
	case size == i.Size():
		return nil
	}
	if err := i.file.Truncate(size); err != nil {
		return fmt.Errorf("resize: %w", err)
	}
	i.setSize(size) // whatever the sync says, the file has it now
	if err := i.file.Sync(); err != nil {
		return fmt.Errorf("resize: %w", err)
	}
	return nil
}
