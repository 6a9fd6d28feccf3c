// Package raw is the format without a format: the file's bytes are the disk's. Holes in the file are holes in the disk.
package raw

import (
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/space"
)

// Image is an open raw disk: a regular file or a block device.
type Image struct {
	*space.Front
	info disk.Info
}

var _ disk.VectorImage = (*Image)(nil)

// Open opens path. Any size is accepted; it is the file's, to the byte.
func Open(path string, o disk.OpenOptions) (*Image, error) {
	file, err := o.Open(path)
	if err != nil {
		return nil, err
	}
	size, err := file.Size()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: find its size: %w", path, err)
	}
	return &Image{
		Front: space.NewFront(space.NewFlat(file, 0), size, o.ReadOnly, space.Hooks{End: space.Closing(file)}),
		info:  disk.Info{Format: "raw", Path: path, Files: []string{path}, Size: size, SectorSize: 512, ReadOnly: o.ReadOnly},
	}, nil
}

// Create makes a sparse file of o.Size bytes, which must not exist.
func Create(path string, o disk.CreateOptions) error {
	if o.Size < 0 {
		return fmt.Errorf("%s: create: negative size %d", path, o.Size)
	}
	if o.Parent != "" {
		return fmt.Errorf("%s: create: a raw image cannot have a parent", path)
	}
	file, err := o.Create(path)
	if err != nil {
		return err
	}
	err = file.Truncate(o.Size)
	if err == nil {
		err = file.Sync()
	}
	if e := file.Close(); err == nil {
		err = e
	}
	if err != nil {
		o.Remove(path)
		return fmt.Errorf("%s: create: %w", path, err)
	}
	return nil
}

// Info implements [disk.Image].
func (i *Image) Info() disk.Info { return i.info }
