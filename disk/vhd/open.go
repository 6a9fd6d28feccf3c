package vhd

import (
	"errors"
	"io"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
	"github.com/sharevm/vmm/disk/internal/mapped"
	"github.com/sharevm/vmm/disk/internal/space"
)

// Image is an open disk.
type Image struct {
	*space.Front
	info     disk.Info
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
	l, err := locate(file)
	if err != nil {
		return nil, err
	}
	f := l.footer
	if f.capacity() > 1<<62 {
		return nil, disk.Corrupt(file.Name(), l.footerAt+48, "a capacity of %d bytes is impossible", f.currentSize())
	}
	id := f.id()
	i := &Image{uniqueID: id, created: f.stamp(), changed: changed(file, f), info: disk.Info{
		Format: "vhd", Path: file.Name(), Files: []string{file.Name()}, Size: int64(f.capacity()), SectorSize: sectorSize,
		ReadOnly: o.ReadOnly, Unclean: l.recovered, ID: formatID(id[:]),
	}}
	if l.recovered {
		i.info.Warnings = append(i.info.Warnings, "the footer at the end is missing or damaged; using its copy at the start")
	}
	if f.savedState() {
		i.info.Warnings = append(i.info.Warnings, "the disk belongs to a machine in saved state; using it here will make that state invalid")
	}
	switch f.diskType() {
	case typeFixed:
		return i, i.openFixed(file, l, o)
	case typeDynamic, typeDifferencing:
		return i, i.openDynamic(file, l, o)
	}
	return nil, disk.Corrupt(file.Name(), l.footerAt+60, "unknown disk type %d", f.diskType())
}

func (i *Image) openFixed(file disk.File, l location, o disk.OpenOptions) error {
	i.info.Variant = "fixed"
	if i.info.Size > l.footerAt {
		return disk.Corrupt(file.Name(), l.footerAt+48, "the disk has %d bytes but the file holds only %d of them", i.info.Size, l.footerAt)
	}
	i.Front = space.NewFront(space.NewFlat(file, 0), i.info.Size, o.ReadOnly, space.Hooks{End: space.Closing(file)})
	return nil
}

func (i *Image) openDynamic(file disk.File, l location, o disk.OpenOptions) error {
	i.info.Variant = "dynamic"
	h, err := readHeader(file, l.footer, i.info.Size, l.fileSize)
	if err != nil {
		return err
	}
	i.info.BlockSize = h.blockSize
	t, err := readTable(file, l.footer, h, i.info.Size)
	if err != nil {
		return err
	}
	if err := t.validate(l.fileSize); err != nil {
		return err
	}
	var parent disk.Image
	if h.parent != nil {
		i.info.Variant = "differencing"
		if parent, err = i.openParent(h.parent, o); err != nil {
			return err
		}
	}
	if !o.ReadOnly {
		if err := t.recover(l); err != nil {
			if parent != nil {
				parent.Close()
			}
			return err
		}
	}
	if parent == nil {
		i.Front = space.NewFront(mapped.New(file, t), i.info.Size, o.ReadOnly, space.Hooks{End: space.Closing(file)})
		return nil
	}
	store := mapped.NewChild(file, t, chain.Window{Image: parent})
	i.Front = space.NewFront(store, i.info.Size, o.ReadOnly, space.Hooks{End: func(bool) error {
		return errors.Join(file.Close(), parent.Close())
	}})
	return nil
}

// location is where a file's footer was found.
type location struct {
	footer    *footer
	footerAt  int64
	fileSize  int64
	recovered bool // it is the copy at the start, because the one at the end is no good
}

// end is where the footer at the end is or belongs: new blocks may start there.
func (l location) end() int64 {
	if l.recovered {
		return (l.fileSize + sectorSize - 1) / sectorSize * sectorSize
	}
	return l.footerAt
}

// locate finds the footer: at the end, else its copy at the start, which only growing disks have.
func locate(file disk.File) (location, error) {
	size, err := file.Size()
	if err != nil {
		return location{}, err
	}
	if size < footerSize-1 {
		return location{}, disk.Corrupt(file.Name(), 0, "%d bytes are too few for a VHD's footer", size)
	}
	last, at, err := readFooter(file, size)
	if err != nil {
		return location{}, err
	}
	problem := last.problem()
	if problem == "" {
		return location{footer: last, footerAt: at, fileSize: size}, nil
	}
	first := &footer{}
	if _, err := file.ReadAt(first[:], 0); err != nil && err != io.EOF {
		return location{}, err
	}
	if first.problem() == "" && first.diskType() != typeFixed {
		return location{footer: first, fileSize: size, recovered: true}, nil
	}
	return location{}, disk.Corrupt(file.Name(), at, "%s, and no sound copy at the start", problem)
}

// readFooter reads the last sector. Programs before Virtual PC 2004 wrote a footer of 511 bytes.
func readFooter(file disk.File, size int64) (*footer, int64, error) {
	f := &footer{}
	p := f[:]
	if size%sectorSize == footerSize-1 {
		p = f[:footerSize-1]
	}
	at := size - int64(len(p))
	return f, at, disk.ReadFull(file, p, at, "footer")
}
