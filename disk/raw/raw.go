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
	file disk.File
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
	i := &Image{file: file, info: disk.Info{Format: "raw", Path: path, Files: []string{path}, SectorSize: 512, ReadOnly: o.ReadOnly}}
	i.setSize(size)
	return i, nil
}

// setSize makes the image one of size bytes, which the file has.
func (i *Image) setSize(size int64) {
	i.Front = space.NewFront(space.NewFlat(i.file, 0), size, i.info.ReadOnly, space.Hooks{End: space.Closing(i.file)})
	i.info.Size = size
}

// Create makes a sparse file of o.Size bytes, which must not exist.
func Create(path string, o disk.CreateOptions) error {
	if o.Size < 0 {
		return fmt.Errorf("%s: create: negative size %d", path, o.Size)
	}
	if o.Parent != "" {
		return fmt.Errorf("%s: create: a raw image cannot have a parent", path)
	}
	return o.Fill(path, func(f disk.File) error { return f.Truncate(o.Size) })
}

// Info implements [disk.Image].
func (i *Image) Info() disk.Info { return i.info }
