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
	info     disk.Info
	options  disk.OpenOptions
	file     disk.File
	table    *table
	store    *mapped.Store
	arranged bool // a block was moved or dropped
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
	i, err := open(file, path, o)
	if err != nil {
		file.Close()
		return nil, err
	}
	for _, w := range i.info.Warnings {
		o.Log().Warn(w, "disk", path)
	}
	return i, nil
}

func open(file disk.File, path string, o disk.OpenOptions) (*Image, error) {
	i := &Image{file: file, options: o, info: disk.Info{
		Format: "vdi", Path: path, Files: []string{path}, SectorSize: sectorSize, ReadOnly: o.ReadOnly || o.Alone,
	}}
	if err := i.load(); err != nil {
		return nil, err
	}
	if o.ReadOnly {
		return i, nil
	}
	if err := i.recover(maxMoved); err != nil {
		return nil, fmt.Errorf("%s: recover from a writer that did not close it: %w", path, err)
	}
	return i, nil
}

// load reads the header and the map, and puts the store and the front of what they say in place.
func (i *Image) load() error {
	length, err := i.file.Size()
	if err != nil {
		return err
	}
	h, err := readHeader(i.file, length)
	if err != nil {
		return err
	}
	t, err := readTable(i.file, h, length)
	if err != nil {
		return err
	}
	if err := t.validate(); err != nil {
		return err
	}
	if !i.options.ReadOnly {
		if err := t.claim(); err != nil {
			return err
		}
	}
	i.info.Variant, i.info.Size, i.info.BlockSize, i.info.ID = h.variant(), h.size, h.block, h.id
	i.table, i.store = t, mapped.New(i.file, t).ShowHoles(h.block)
	i.Front = space.NewFront(i.store, h.size, i.info.ReadOnly, space.Hooks{Begin: i.begin, End: i.end})
	return nil
}

// begin gives the disk a new modification UUID before a session's first change, by which a child would know that it has changed.
func (i *Image) begin() error {
	if i.options.KeepIdentity {
		return nil
	}
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

// end closes gaps that an unfinished arrangement left, cuts off room that was taken in advance, and closes the file.
func (i *Image) end(clean bool) error {
	var err error
	if i.arranged {
		err = i.tidy(maxMoved)
	} else if clean {
		err = i.table.trim()
	}
	if err != nil {
		err = fmt.Errorf("%s: give back free room: %w", i.info.Path, err)
	}
	return errors.Join(err, i.file.Close())
}
