package vhd

import (
	"errors"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
	"github.com/sharevm/vmm/disk/internal/mapped"
	"github.com/sharevm/vmm/disk/internal/space"
)

// Image is an open disk.
type Image struct {
	*space.Front
	info     disk.Info
	options  disk.OpenOptions
	file     disk.File
	location location
	table    *table        // nil: the disk is fixed
	store    *mapped.Store // likewise
	parent   disk.Image    // nil: there is none, or the disk was opened alone
	arranged bool          // a block was moved or dropped
	uniqueID [16]byte
	created  uint32 // seconds since epoch
	changed  uint32 // when the file was, before it was opened
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
	if o.KeepIdentity && !o.ReadOnly {
		file = keepDate(file)
	}
	i, err := open(file, o)
	if err != nil {
		file.Close()
		return nil, err
	}
	for _, w := range i.info.Warnings {
		o.Log().Warn(w, "disk", path)
	}
	return i, nil
}

// openImage is Open as chains want it.
func openImage(path string, o disk.OpenOptions) (disk.Image, error) {
	i, err := Open(path, o)
	if err != nil {
		return nil, err
	}
	return i, nil
}

func open(file disk.File, o disk.OpenOptions) (*Image, error) {
	i := &Image{file: file, options: o, info: disk.Info{
		Format: "vhd", Path: file.Name(), Files: []string{file.Name()}, SectorSize: sectorSize, ReadOnly: o.ReadOnly || o.Alone,
	}}
	if err := i.load(); err != nil {
		return nil, err
	}
	f := i.location.footer
	i.created, i.changed = f.stamp(), changed(file, f)
	i.remark()
	if err := i.openChain(); err != nil {
		return nil, err
	}
	i.serve()
	if o.ReadOnly {
		return i, nil
	}
	if err := i.recover(maxMoved); err != nil {
		if i.parent != nil {
			i.parent.Close()
		}
		return nil, fmt.Errorf("%s: recover from a writer that did not close it: %w", file.Name(), err)
	}
	return i, nil
}

// remark says what the owner should know of the file.
func (i *Image) remark() {
	warn := func(text string) { i.info.Warnings = append(i.info.Warnings, text) }
	l := i.location
	i.info.Unclean = l.recovered || l.displaced
	switch {
	case l.recovered:
		warn("the footer at the end is missing or damaged; using its copy at the start")
	case l.displaced:
		warn("the footer is not at the end of the file; its writer did not finish")
	}
	if l.footer.savedState() {
		warn("the disk belongs to a machine in saved state; using it here will make that state invalid")
	}
}

// load reads the footer, the header and the table.
func (i *Image) load() error {
	l, err := locate(i.file)
	if err != nil {
		return err
	}
	f := l.footer
	if f.capacity() > 1<<62 {
		return disk.Corrupt(i.file.Name(), l.footerAt+48, "a capacity of %d bytes is impossible", f.currentSize())
	}
	i.location, i.uniqueID = l, f.id()
	i.info.Size, i.info.ID = int64(f.capacity()), formatID(i.uniqueID[:])
	switch f.diskType() {
	case typeFixed:
		i.info.Variant = "fixed"
		if i.info.Size > l.footerAt {
			return disk.Corrupt(i.file.Name(), l.footerAt+48, "the disk has %d bytes but the file holds only %d of them", i.info.Size, l.footerAt)
		}
		return nil
	case typeDynamic:
		i.info.Variant = "dynamic"
	case typeDifferencing:
		i.info.Variant = "differencing"
	default:
		return disk.Corrupt(i.file.Name(), l.footerAt+60, "unknown disk type %d", f.diskType())
	}
	h, err := readHeader(i.file, f, i.info.Size, l.fileSize)
	if err != nil {
		return err
	}
	i.info.BlockSize = h.blockSize
	if i.table, err = readTable(i.file, l, h); err != nil {
		return err
	}
	return i.table.validate(l.fileSize)
}

// openChain opens the parent, if there is one.
func (i *Image) openChain() (err error) {
	if i.table == nil || i.table.parent == nil {
		return nil
	}
	if i.options.Alone {
		i.info.Parent = i.table.parent.path(i.info.Path)
		return nil
	}
	i.parent, err = i.openParent(i.table.parent, i.options)
	return err
}

// serve puts the store and the front of what load read in place.
func (i *Image) serve() {
	readOnly, hooks := i.info.ReadOnly, space.Hooks{End: i.end}
	switch {
	case i.table == nil:
		i.Front = space.NewFront(space.NewFlat(i.file, 0), i.info.Size, readOnly, hooks)
		return
	case i.parent == nil:
		i.store = mapped.New(i.file, i.table)
	default:
		i.store = mapped.NewChild(i.file, i.table, chain.Window{Image: i.parent})
	}
	i.store.ShowHoles(i.info.BlockSize)
	i.Front = space.NewFront(i.store, i.info.Size, readOnly, hooks)
}

// reload makes the image that of a file whose footer, header or table were rewritten.
func (i *Image) reload() error {
	if err := i.load(); err != nil {
		return err
	}
	i.serve()
	return nil
}

// end closes gaps that an unfinished arrangement left, and the files.
func (i *Image) end(bool) error {
	var err error
	if i.arranged {
		err = i.tidy(maxMoved)
	}
	err = errors.Join(err, i.file.Close())
	if i.parent != nil {
		err = errors.Join(err, i.parent.Close())
	}
	return err
}
