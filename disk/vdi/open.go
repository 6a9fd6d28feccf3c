package vdi

import (
	"errors"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/mapped"
	"github.com/sharevm/vmm/disk/internal/space"
)

// Image is an open disk.
type Image struct {
	*space.Front
	info  disk.Info
	file  disk.File
	table *table
	store *mapped.Store
}

var _ disk.VectorImage = (*Image)(nil)

// Info implements [disk.Image].
func (i *Image) Info() disk.Info { return i.info }

// Open opens path.
func Open(path string, o disk.OpenOptions) (*Image, error) {
	file, err := o.Open(path)
	if err != nil {
		return nil, err
	}
	i := &Image{file: file}
	if err := i.open(path, o); err != nil {
		file.Close()
		return nil, err
	}
	for _, w := range i.info.Warnings {
		o.Log().Warn(w, "disk", path)
	}
	return i, nil
}

func (i *Image) open(path string, o disk.OpenOptions) error {
	length, err := i.file.Size()
	if err != nil {
		return err
	}
	h, err := readHeader(i.file, length)
	if err != nil {
		return err
	}
	i.info = disk.Info{
		Format: "vdi", Variant: h.variant(), Path: path, Files: []string{path}, Size: h.size, BlockSize: h.block, SectorSize: sectorSize,
		ReadOnly: o.ReadOnly, ID: h.id,
	}
	if i.table, err = readTable(i.file, h, length); err != nil {
		return err
	}
	if err := i.table.validate(); err != nil {
		return err
	}
	i.store = mapped.New(i.file, i.table)
	i.Front = space.NewFront(i.store, h.size, o.ReadOnly, space.Hooks{Begin: i.begin, End: i.end})
	if o.ReadOnly {
		return nil
	}
	if err := i.table.claim(); err != nil {
		return err
	}
	return i.recover()
}

// begin gives the disk a new modification UUID before a session's first change, by which a child would know that it has changed.
func (i *Image) begin() error {
	var p [16]byte
	putUUID(p[:])
	_, err := i.file.WriteAt(p[:], modifyAt)
	if err == nil {
		i.store.Wrote()
		err = i.store.Flush()
	}
	if err != nil {
		return fmt.Errorf("%s: change the modification UUID: %w", i.info.Path, err)
	}
	return nil
}

// end cuts off room that was taken in advance, and closes the file.
func (i *Image) end(clean bool) error {
	var err error
	if clean {
		if err = i.table.trim(); err != nil {
			err = fmt.Errorf("%s: give back free room: %w", i.info.Path, err)
		}
	}
	return errors.Join(err, i.file.Close())
}
