package vmdk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
	"github.com/sharevm/vmm/disk/internal/mapped"
	"github.com/sharevm/vmm/disk/internal/space"
)

// Image is an open disk.
type Image struct {
	*space.Front
	options disk.OpenOptions
	info    disk.Info
	files   []disk.File
	// parent is what a snapshot builds upon, or nil.
	parent disk.Image

	descriptor     *Descriptor
	descriptorIn   disk.File // the file that holds the descriptor's text
	descriptorAt   int64     // where it starts there
	descriptorRoom int64     // bytes that it may take there, or 0 if it has the file to itself
	detour         bool      // it was read from a copy, since it is only half rewritten
	copyAt         int64     // where a copy lies, from the text's start, or 0

	extents space.Concat
	parts   []part // of extents
	failed  error  // what ended a change half way

	repairing bool                 // it was opened by Repair
	flat      map[string]disk.File // the files of flat extents by their names; several may share one
}

// part is one extent in use.
type part struct {
	Extent
	space    space.Space
	file     disk.File // nil if it has none
	table    *sparse   // nil if it is not a hosted sparse extent
	writable writable  // nil unless it is one that may be written
}

// flat says whether the extent lies in its file in one piece.
func (p part) flat() bool { return p.Type == "FLAT" || p.Type == "VMFS" }

var _ disk.VectorImage = (*Image)(nil)

// Info implements [disk.Image].
func (i *Image) Info() disk.Info { return i.info }

// flatName is how programs call the files of flat extents. A guest writes such a file from its first byte on, so that it is never looked
// at for a descriptor.
var flatName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)-(flat|f[0-9]{3,})\.vmdk$`) })

// Open opens path, which is a descriptor or a sparse extent with a descriptor in it.
func Open(path string, o disk.OpenOptions) (*Image, error) {
	i := &Image{flat: map[string]disk.File{}, options: o}
	if err := i.open(path, o); err != nil {
		i.closeAll()
		return nil, err
	}
	for _, w := range i.info.Warnings {
		o.Log().Warn(w, "disk", path)
	}
	return i, nil
}

func (i *Image) open(path string, o disk.OpenOptions) error {
	if flatName().MatchString(path) {
		return disk.Unsupported(path, -1, "by its name this is a flat extent of a disk; open the disk's descriptor, a small .vmdk beside it")
	}
	file, err := o.Open(path)
	if err != nil {
		return err
	}
	i.adopt(file)
	h, size, err := i.readDescriptor(file)
	if err != nil {
		return err
	}
	d := i.descriptor
	i.info = disk.Info{
		Format: "vmdk", Variant: d.CreateType, Path: path, SectorSize: sectorSize, ReadOnly: o.ReadOnly, ID: fmt.Sprintf("%08x", d.CID),
	}
	switch {
	case d.ParentCID == noParent:
	case o.Alone:
		i.info.Parent = i.recordedParent()
	default:
		if err := i.openParent(path, o); err != nil {
			return err
		}
	}
	if h != nil {
		err = i.addSelf(file, h, size)
	} else {
		err = i.addExtents(path, o)
	}
	if err != nil {
		return err
	}
	i.listFiles()
	i.info.Size = i.extents.Size()
	if !o.ReadOnly {
		if err := i.recover(); err != nil {
			return err
		}
	}
	i.Front = space.NewFront(i.extents.Space(), i.info.Size, o.ReadOnly || o.Alone, space.Hooks{Begin: i.begin, End: i.end})
	return nil
}

// listFiles tells Info of the files.
func (i *Image) listFiles() {
	i.info.Files = nil
	for _, f := range i.files {
		i.info.Files = append(i.info.Files, f.Name())
	}
	if i.parent != nil {
		i.info.Files = append(i.info.Files, i.parent.Info().Files...)
	}
}

// readDescriptor finds the descriptor: in a sparse extent, whose header it returns, or else as the file's whole text.
func (i *Image) readDescriptor(file disk.File) (h *header, size int64, err error) {
	if size, err = file.Size(); err != nil {
		return nil, 0, err
	}
	var first [sectorSize]byte
	if _, err := file.ReadAt(first[:], 0); err != nil && err != io.EOF {
		return nil, 0, err
	}
	length := size
	switch string(first[:4]) {
	case sparseMagic:
		if h, err = wholeHeader(file, &first, size); err != nil {
			return nil, 0, err
		}
		if h.descriptorOffset == 0 || h.descriptorSize == 0 {
			return nil, 0, disk.Unsupported(file.Name(), 28, "this is one extent of a disk in several files; open the disk's descriptor, a small .vmdk beside it")
		}
		i.descriptorAt, length = h.descriptorOffset*sectorSize, h.descriptorSize*sectorSize
		i.descriptorRoom = length
	case cowdMagic, seMagic[:4]:
		return nil, 0, disk.Unsupported(file.Name(), 0, "this is an extent of a disk; open the disk's descriptor, a small .vmdk beside it")
	default:
		if !looksLikeDescriptor(first[:]) {
			return nil, 0, disk.Corrupt(file.Name(), 0, "neither a sparse extent nor a descriptor; a flat extent is opened by its descriptor")
		}
	}
	if length > maxDescriptor {
		return nil, 0, disk.Corrupt(file.Name(), i.descriptorAt, "a descriptor of %d bytes is longer than any disk needs", length)
	}
	text := make([]byte, length)
	if err := disk.ReadFull(file, text, i.descriptorAt, "descriptor"); err != nil {
		return nil, 0, err
	}
	at, instead := copied(text)
	if i.copyAt, i.detour = int64(at), instead; instead {
		text = text[at:]
	}
	if i.descriptor, err = ParseDescriptor(text); err != nil {
		return nil, 0, disk.Corrupt(file.Name(), i.descriptorAt, "%v", err)
	}
	i.descriptorIn = file
	return h, size, nil
}

// looksLikeDescriptor says whether a file starts as descriptors do, with a comment or a version line.
func looksLikeDescriptor(first []byte) bool {
	text := bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(first, []byte("\xef\xbb\xbf"))))
	return bytes.HasPrefix(text, []byte("#")) && bytes.Contains(text, []byte("descriptorfile")) || bytes.HasPrefix(text, []byte("version"))
}

// addSelf makes the disk of the one extent that the descriptor lies in. Its line's file name is ignored: people rename files.
func (i *Image) addSelf(file disk.File, h *header, size int64) error {
	if n := len(i.descriptor.Extents); n != 1 {
		return disk.Corrupt(file.Name(), i.descriptorAt, "a descriptor inside an extent lists %d extents instead of that one", n)
	}
	e := i.descriptor.Extents[0]
	if e.Type != "SPARSE" {
		return disk.Corrupt(file.Name(), i.descriptorAt, "a descriptor inside a sparse extent calls it %s", clip(e.Type))
	}
	if e.Sectors != h.capacity {
		i.info.Warnings = append(i.info.Warnings,
			fmt.Sprintf("the descriptor says %d sectors, the extent's header %d; the header is believed", e.Sectors, h.capacity))
	}
	i.info.BlockSize = h.grain * sectorSize
	e.Sectors = h.capacity
	return i.addSparse(file, h, size, e)
}

// addExtents opens the files that a descriptor of its own names.
func (i *Image) addExtents(path string, o disk.OpenOptions) error {
	for n, e := range i.descriptor.Extents {
		if err := i.addExtent(path, e, o); err != nil {
			return fmt.Errorf("%s: extent %d: %w", path, n+1, err)
		}
	}
	return nil
}

func (i *Image) addExtent(path string, e Extent, o disk.OpenOptions) error {
	if e.Access == NoAccess {
		i.add(part{Extent: e, space: zeroes{err: disk.ErrNoAccess, access: disk.ErrNoAccess}})
		return nil
	}
	if e.Type == "ZERO" {
		i.add(part{Extent: e, space: zeroes{err: fmt.Errorf("%w: a ZERO extent stores nothing", disk.ErrReadOnly)}})
		return nil
	}
	if !e.sparse() && e.Type != "FLAT" && e.Type != "VMFS" {
		return disk.Unsupported(path, -1, "extents of type %s are not implemented", clip(e.Type))
	}
	file, err := i.extentFile(path, e, o)
	if err != nil {
		return err
	}
	size, err := file.Size()
	if err != nil {
		return err
	}
	if !e.sparse() {
		return i.addFlat(file, e, size)
	}
	var magic [8]byte
	if err := disk.ReadFull(file, magic[:], 0, "header"); err != nil {
		return err
	}
	if string(magic[:]) == seMagic {
		return i.addSE(file, e, size, o)
	}
	h, err := readHeader(file, size)
	if err != nil {
		return err
	}
	if err := e.fits(file, h.capacity); err != nil {
		return err
	}
	if err := e.writable(file, h.host, o); err != nil {
		return err
	}
	i.info.BlockSize = max(i.info.BlockSize, h.grain*sectorSize)
	return i.addSparse(file, h, size, e)
}

// sparse says whether the extent's file is one of the sparse formats; its first bytes say which.
func (e Extent) sparse() bool {
	return e.Type == "SPARSE" || e.Type == "VMFSSPARSE" || e.Type == "SESPARSE"
}

// fits checks that the extent's file has as many sectors as its line says.
func (e Extent) fits(file disk.File, capacity int64) error {
	if capacity < e.Sectors {
		return disk.Corrupt(file.Name(), -1, "the extent has %d sectors, its descriptor says %d", capacity, e.Sectors)
	}
	return nil
}

// writable refuses to open an extent of one of ESXi's own formats for writing.
func (e Extent) writable(file disk.File, host bool, o disk.OpenOptions) error {
	if host && !o.ReadOnly && e.Access == ReadWrite {
		return disk.Unsupported(file.Name(), 0, "extents of type %s can be read, not written; open the disk read-only, or convert it", e.Type)
	}
	return nil
}

// addSE adds an SEsparse extent.
func (i *Image) addSE(file disk.File, e Extent, size int64, o disk.OpenOptions) error {
	if err := e.writable(file, true, o); err != nil {
		return err
	}
	t, err := openSE(file, size)
	if err != nil {
		return err
	}
	if err := e.fits(file, t.capacity); err != nil {
		return err
	}
	i.info.BlockSize = max(i.info.BlockSize, seGrain*sectorSize)
	i.add(part{Extent: e, space: frozen{i.store(file, t)}, file: file})
	return nil
}

// store returns the blocks of an extent, above the parent's.
func (i *Image) store(file disk.File, t mapped.Table) *mapped.Store {
	if i.parent == nil {
		return mapped.New(file, t)
	}
	return mapped.NewChild(file, t, chain.Window{Image: i.parent, Base: i.extents.Size()})
}

// extentFile opens the file of an extent, or returns the one that an earlier flat extent opened under the same name.
func (i *Image) extentFile(path string, e Extent, o disk.OpenOptions) (disk.File, error) {
	if f := i.flat[e.Name]; f != nil && !e.sparse() {
		return f, nil
	}
	readOnly := e.Access == ReadOnly
	for _, other := range i.descriptor.Extents {
		readOnly = readOnly && (other.Name != e.Name || other.Access == ReadOnly)
	}
	file, err := o.OpenBeside(filepath.Dir(path), e.Name, readOnly)
	if err != nil {
		return nil, err
	}
	i.adopt(file)
	if !e.sparse() {
		i.flat[e.Name] = file
	}
	return file, nil
}

func (i *Image) addFlat(file disk.File, e Extent, size int64) error {
	if end := (e.Offset + e.Sectors) * sectorSize; end > size {
		return disk.Corrupt(file.Name(), size, "the file ends before the extent's last byte at %d", end)
	}
	p := part{Extent: e, space: space.NewFlat(file, e.Offset*sectorSize), file: file}
	if e.Access == ReadOnly {
		p.space = frozen{p.space}
	}
	i.add(p)
	return nil
}

func (i *Image) addSparse(file disk.File, h *header, size int64, e Extent) error {
	o := i.options
	t, err := openSparse(file, h, size, o.Log())
	if err != nil {
		return err
	}
	if h.lost && i.repairing && e.Access != ReadOnly {
		if h, size, err = rebuild(t); err != nil {
			return err
		}
		if t, err = openSparse(file, h, size, o.Log()); err != nil {
			return err
		}
	}
	// A repair goes on where some tables are beyond help.
	if err := t.survey(); err != nil && !(i.repairing && errors.Is(err, disk.ErrCorrupt)) {
		return err
	}
	if h.unclean {
		i.info.Unclean = true
		i.info.Warnings = append(i.info.Warnings, file.Name()+" was not closed cleanly by its last writer")
	}
	if h.lost {
		if err := i.warnLost(t, e.Access == ReadOnly || o.ReadOnly); err != nil {
			return err
		}
	}
	t.share(len(i.descriptor.Extents))
	s := i.newSpace(file, t)
	p := part{Extent: e, space: s, file: file, table: t}
	if e.Access == ReadOnly {
		p.space = frozen{s}
	} else {
		p.writable = s
	}
	i.add(p)
	return nil
}

// add appends an extent to the disk.
func (i *Image) add(p part) {
	i.parts = append(i.parts, p)
	i.extents.Add(p.space, p.Sectors*sectorSize)
}

// sparse returns the extents that keep tables and may be written.
func (i *Image) sparse() (out []writable) {
	for _, p := range i.parts {
		if p.writable != nil {
			out = append(out, p.writable)
		}
	}
	return out
}

// newSpace returns the storage of an extent, above the parent's.
func (i *Image) newSpace(file disk.File, t *sparse) writable {
	switch {
	case t.compressed:
		t.inflated = t.newCache()
		table := newStream(t)
		return &streamSpace{Store: i.store(file, table), table: table, parent: i.parent != nil}
	case t.flags&flagZeroGrain != 0:
		return sparseSpace{i.store(file, zeroing{t}), t}
	}
	return sparseSpace{i.store(file, t), t}
}

// warnLost has a stream that was cut off be read as far as it goes, with a warning, and refuses to write to it.
func (i *Image) warnLost(t *sparse, readOnly bool) error {
	if !readOnly {
		return disk.Corrupt(t.file.Name(), t.length,
			"the file has lost its end, where the grain directory is; open it read-only to save the %d grains that are left", len(t.found))
	}
	i.info.Unclean = true
	i.info.Warnings = append(i.info.Warnings,
		fmt.Sprintf("%s has lost its end; of its grains %d were found, what is missing reads as zeroes", t.file.Name(), len(t.found)))
	return nil
}

// adopt has Close close file.
func (i *Image) adopt(file disk.File) { i.files = append(i.files, file) }
