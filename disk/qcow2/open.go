package qcow2

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
	"github.com/sharevm/vmm/disk/internal/mapped"
	"github.com/sharevm/vmm/disk/internal/space"
)

// Image is an open disk.
type Image struct {
	*space.Front
	info   disk.Info
	file   disk.File
	table  *table
	store  *mapped.Store
	parent disk.Image // or nil
	opened disk.OpenOptions
}

var _ disk.VectorImage = (*Image)(nil)

// Info implements [disk.Image].
func (i *Image) Info() disk.Info { return i.info }

// Open opens path and the images that it is based on.
func Open(path string, o disk.OpenOptions) (*Image, error) {
	file, err := o.Open(path)
	if err != nil {
		return nil, err
	}
	i := &Image{file: file, opened: o}
	if err := i.open(path, o); err != nil {
		i.closeFiles()
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
		Format: "qcow2", Variant: h.variant(), Path: path, Files: []string{path}, Size: h.size,
		BlockSize: h.clusterSize(), SectorSize: sectorSize, ReadOnly: o.ReadOnly, Unclean: h.incompat&(incompatDirty|incompatCorrupt) != 0,
	}
	if err := i.judge(h, o); err != nil {
		return err
	}
	if i.table, err = openTable(i.file, h, length, !o.ReadOnly); err != nil {
		return err
	}
	if err := i.table.survey(); err != nil {
		return err
	}
	if err := i.openParent(path, h, o); err != nil {
		return err
	}
	i.newStore()
	i.Front = space.NewFront(bounded{i.store, i.table}, h.size, o.ReadOnly || o.Alone, space.Hooks{Begin: i.begin, End: i.end})
	if o.ReadOnly {
		return nil
	}
	return i.recover()
}

// judge says what the header's marks mean to the owner.
func (i *Image) judge(h *header, o disk.OpenOptions) error {
	if h.incompat&incompatCorrupt != 0 {
		if !o.ReadOnly {
			return disk.Corrupt(i.file.Name(), incompatAt, "the last program to write it found it damaged and marked it; open it read-only, or repair it first")
		}
		i.info.Warnings = append(i.info.Warnings, "the last program to write the disk found it damaged")
	}
	if h.incompat&incompatDirty != 0 {
		i.info.Warnings = append(i.info.Warnings, "the last program to write the disk did not close it")
	}
	if h.snapshots > 0 {
		i.info.Warnings = append(i.info.Warnings, fmt.Sprintf("the disk has %d internal snapshots, which stay as they are", h.snapshots))
	}
	return nil
}

// newStore builds the storage from the table, what it can mark as zeroes, and the parent.
func (i *Image) newStore() {
	var t mapped.Copier = i.table
	if i.table.version >= 3 {
		t = zeroer{i.table}
	}
	if i.parent == nil {
		i.store = mapped.New(i.file, t)
		return
	}
	i.table.backed = true
	i.store = mapped.NewChild(i.file, t, chain.Window{Image: i.parent})
}

// formatNames are the formats that qemu calls otherwise.
var formatNames = map[string]string{"vpc": "vhd"}

func (i *Image) openParent(path string, h *header, o disk.OpenOptions) error {
	if h.backing == "" {
		return nil
	}
	name := strings.TrimPrefix(h.backing, "file:")
	if o.Alone {
		if i.info.Parent = name; !filepath.IsAbs(name) {
			i.info.Parent = filepath.Join(filepath.Dir(path), name)
		}
		return nil
	}
	if proto, _, ok := strings.Cut(name, ":"); ok && !strings.Contains(proto, "/") {
		return disk.Unsupported(path, 8, "its parent %q is not a file", h.backing)
	}
	format := h.backingType
	if f, ok := formatNames[format]; ok {
		format = f
	}
	link := chain.Link{Child: path, Names: []string{name}, Format: format, Own: own}
	var err error
	if i.parent, err = link.Open(o); err != nil {
		return err
	}
	i.info.Files = append(i.info.Files, i.parent.Info().Files...)
	i.info.Parent = i.parent.Info().Path
	i.info.Warnings = append(i.info.Warnings, i.parent.Info().Warnings...)
	return nil
}

// own opens a parent when no other format is known.
func own(path string, o disk.OpenOptions) (disk.Image, error) {
	if o.Format != "" && o.Format != "qcow2" {
		return nil, disk.Unsupported(path, -1, "its format %q cannot be opened here", o.Format)
	}
	i, err := Open(path, o)
	if err != nil {
		return nil, err
	}
	return i, nil
}

// begin runs before a session's first change.
func (i *Image) begin() error {
	t := i.table
	t.mu.Lock()
	err := t.refs.wholeClusters()
	t.mu.Unlock()
	if err == nil {
		err = i.mark(true)
	}
	if err != nil {
		return fmt.Errorf("%s: mark as in use: %w", i.info.Path, err)
	}
	return nil
}

// end counts down what the last flush has made superfluous, marks the disk as whole, durably, if all went well, and closes the files.
func (i *Image) end(clean bool) error {
	var err error
	if clean {
		if err = i.finish(); err != nil {
			err = fmt.Errorf("%s: mark as closed: %w", i.info.Path, err)
		}
	}
	return errors.Join(err, i.closeFiles())
}

func (i *Image) finish() error {
	if err := i.settleFreed(); err != nil {
		return err
	}
	if err := i.table.refs.trim(); err != nil {
		return err
	}
	i.store.Wrote()
	if err := i.store.Flush(); err != nil { // the length is durable before the mark goes
		return err
	}
	return i.mark(false)
}

func (i *Image) closeFiles() error {
	err := i.file.Close()
	if i.table != nil {
		err = errors.Join(err, i.table.inflated.Close())
	}
	if i.parent != nil {
		err = errors.Join(err, i.parent.Close())
	}
	return err
}
