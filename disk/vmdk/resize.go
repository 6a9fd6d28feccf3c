package vmdk

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
	"github.com/sharevm/vmm/disk/internal/space"
)

var _ disk.Resizer = (*Image)(nil)

// Resize implements [disk.Resizer]. The last extent grows and shrinks, and a disk in pieces of 2 GiB gets more of them or fewer. What decides on
// the size is the header of a disk in one sparse extent with its descriptor inside, and else the descriptor. After an error half way the image
// can only be closed; it is put right when it is opened again.
func (i *Image) Resize(size int64) error {
	err := i.changeable()
	if err == nil {
		err = i.resize(size)
	}
	if err != nil {
		return fmt.Errorf("%s: resize: %w", i.info.Path, err)
	}
	return nil
}

func (i *Image) resize(size int64) error {
	switch {
	case size < 0 || size%sectorSize != 0 || size/sectorSize > maxSectors:
		return fmt.Errorf("a VMDK's size is a multiple of %d bytes; %d is not", sectorSize, size)
	case size == i.Size():
		return nil
	}
	r := &resizing{Image: i, dir: filepath.Dir(i.info.Path)}
	plan := r.planShrink
	if size > i.Size() {
		plan = r.planGrowth
	}
	if err := plan(size / sectorSize); err != nil {
		return err
	}
	if err := space.Begin(i.Front); err != nil {
		return err
	}
	err := i.Flush()
	if err == nil {
		err = r.run(size > i.Size())
	}
	if err != nil {
		i.failed = fmt.Errorf("%w (close the image, and open it again)", err)
		space.Replace(i.Front, zeroes{err: i.failed, access: i.failed}, i.Size())
		return err
	}
	i.reassemble()
	return nil
}

// resizing is a change of size on its way.
type resizing struct {
	*Image
	dir     string
	extents []Extent // as they are to be
	last    int      // the part that changes its size, if its Sectors differ
}

// split says whether the disk is cut in pieces, whose files are its own.
func (r *resizing) split() bool {
	t := strings.ToLower(r.descriptor.CreateType)
	return strings.HasPrefix(t, "twogb") || strings.HasPrefix(t, "2gb")
}

// planShrink cuts off what is behind so many sectors. An extent of no sectors stays if there is nothing else.
func (r *resizing) planShrink(sectors int64) error {
	for n, p := range r.parts {
		e := p.Extent
		e.Sectors = min(e.Sectors, sectors)
		if sectors -= e.Sectors; e.Sectors == 0 && n > 0 {
			break
		}
		r.extents, r.last = append(r.extents, e), n
	}
	return nil
}

// planGrowth has the last extent grow, and adds others to a disk in pieces.
func (r *resizing) planGrowth(sectors int64) error {
	for _, p := range r.parts {
		r.extents = append(r.extents, p.Extent)
		sectors -= p.Sectors
	}
	r.last = len(r.parts) - 1
	last := &r.extents[r.last]
	more := sectors
	if r.split() {
		more = min(more, max(0, splitSectors-last.Sectors))
	}
	if more > 0 {
		last.Sectors += more
		if err := r.growable(r.parts[r.last], last.Sectors); err != nil {
			return err
		}
	}
	for sectors -= more; sectors > 0; sectors -= splitSectors {
		if len(r.extents) == maxExtents {
			return fmt.Errorf("%w: a disk in pieces has %d of them at most", disk.ErrUnsupported, maxExtents)
		}
		r.extents = append(r.extents, Extent{Sectors: min(sectors, splitSectors), Type: last.Type})
	}
	return nil
}

// growable says why an extent cannot grow, if so.
func (r *resizing) growable(p part, sectors int64) error {
	switch {
	case p.Access != ReadWrite:
		return fmt.Errorf("%w: the last extent is not for writing", disk.ErrUnsupported)
	case p.Type == "ZERO":
		return nil
	case p.writable != nil:
		h := *p.table.header
		h.capacity = sectors
		if h.entries() > maxDirectory {
			return fmt.Errorf("%w: grains of %d bytes allow %d bytes in an extent", disk.ErrUnsupported, h.grain*sectorSize, maxDirectory*h.tableEntries*h.grain*sectorSize)
		}
		return nil
	}
	size, err := p.file.Size()
	if err != nil {
		return err
	}
	if end := (p.Offset + p.Sectors) * sectorSize; size > end && !r.owns(p) {
		return fmt.Errorf("%w: %s goes on behind the last extent, with what may not belong to the disk", disk.ErrUnsupported, p.Name)
	}
	return nil
}

// owns says whether all of a flat extent's file belongs to the extent.
func (r *resizing) owns(p part) bool {
	for _, other := range r.parts {
		if other.flat() && other.file == p.file && other.Offset != p.Offset {
			return false
		}
	}
	return p.Offset == 0 && !strings.EqualFold(r.descriptor.CreateType, "custom")
}

// pieceName tells the number in the name of a piece.
var pieceName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(.*-[sf])([0-9]{3,9})(\.[^.]*)$`) })

// numbering returns what names one new piece after the other.
func (r *resizing) numbering() func() string {
	last := r.parts[r.last].Extent
	base := filepath.Base(r.info.Path)
	stem, n, ext := strings.TrimSuffix(base, filepath.Ext(base))+"-s", len(r.parts), ".vmdk"
	if m := pieceName().FindStringSubmatch(last.Name); m != nil {
		stem, ext = m[1], m[3]
		n, _ = strconv.Atoi(m[2]) // nine digits at most
	}
	return func() string {
		n++
		return fmt.Sprintf("%s%03d%s", stem, n, ext)
	}
}

// run carries out the plan.
func (r *resizing) run(grow bool) error {
	inside := r.descriptorRoom > 0 // the header decides
	if grow || inside {
		if err := r.resizeLast(); err != nil {
			return err
		}
	}
	if grow {
		if err := r.addPieces(); err != nil {
			return err
		}
	}
	edits, err := r.descriptor.resize(r.extents)
	if err != nil {
		return err
	}
	if err := r.change(edits); err != nil {
		return err
	}
	if grow || inside {
		return nil
	}
	if err := r.dropPieces(); err != nil {
		return err
	}
	return r.resizeLast()
}

// resizeLast gives the last of the present parts its new size.
func (r *resizing) resizeLast() error {
	p := &r.parts[r.last]
	from, to := p.Sectors, r.extents[r.last].Sectors
	if from == to {
		return nil
	}
	p.Sectors = to
	switch {
	case p.writable != nil:
		return p.writable.resize(from, to, func() error { return r.cover(*p, from) })
	case p.flat() && p.Access == ReadWrite:
		return r.resizeFlat(*p, from)
	}
	return nil
}

// resizeFlat makes the file of a flat extent longer or shorter.
func (r *resizing) resizeFlat(p part, from int64) error {
	if p.Sectors < from && !r.owns(p) {
		return nil
	}
	size, err := p.file.Size()
	if err != nil {
		return err
	}
	before, end := (p.Offset+from)*sectorSize, (p.Offset+p.Sectors)*sectorSize
	if size > before && end > before { // an earlier change of size did not come to its end
		if err := p.file.Zero(before, size-before, true); err != nil {
			return err
		}
	}
	if err := p.file.Truncate(end); err != nil {
		return err
	}
	return p.file.Sync()
}

// cover writes zeroes to a part from a sector on where the parent has something.
func (r *resizing) cover(p part, from int64) error {
	if r.parent == nil {
		return nil
	}
	base := int64(0)
	for _, before := range r.parts {
		if before.space == p.space {
			break
		}
		base += before.Sectors * sectorSize
	}
	var failed error
	below := chain.Window{Image: r.parent, Base: base}
	_, err := below.Extents(from*sectorSize, (p.Sectors-from)*sectorSize, 0, func(e disk.Extent) bool {
		if e.Kind == disk.Data {
			failed = p.space.WriteZeroes(e.Offset, e.Length, true)
		}
		return failed == nil
	})
	return errors.Join(failed, err)
}

// addPieces makes the extents that the disk does not have yet.
func (r *resizing) addPieces() error {
	c := &creation{CreateOptions: disk.CreateOptions{Files: r.options.Files}}
	if t := r.parts[r.last].table; t != nil {
		c.grain = t.grain
	}
	name := r.numbering()
	for n := len(r.parts); n < len(r.extents); n++ {
		if err := r.addPiece(c, n, name); err != nil {
			for _, path := range c.made {
				c.Remove(path)
			}
			return err
		}
	}
	return nil
}

// addPiece makes extent n. A file of the name that it would have, which an earlier attempt may have left, stays as it is: the next number is taken.
func (r *resizing) addPiece(c *creation, n int, name func() string) error {
	e := &r.extents[n]
	err := fs.ErrExist
	for tries := 0; errors.Is(err, fs.ErrExist) && tries < maxExtents; tries++ {
		e.Name = name()
		path := filepath.Join(r.dir, filepath.FromSlash(e.Name))
		if e.sparse() {
			err = c.writeSparse(path, e.Sectors, nil)
		} else {
			err = c.write(path, func(f disk.File) error { return f.Truncate(e.Sectors * sectorSize) })
		}
	}
	if err != nil {
		return err
	}
	if err := r.addExtent(r.info.Path, *e, r.options); err != nil {
		return err
	}
	p := r.parts[n]
	if p.writable == nil {
		return nil
	}
	if err := p.writable.begin(); err != nil {
		return err
	}
	if err := r.cover(p, 0); err != nil {
		return err
	}
	return p.writable.Flush()
}

// dropPieces closes the extents that the disk does not have any more, and removes those of a disk in pieces.
func (r *resizing) dropPieces() error {
	dropped := slices.Clone(r.parts[r.last+1:])
	r.parts = r.parts[:r.last+1]
	for _, p := range dropped {
		if p.file == nil || slices.ContainsFunc(r.parts, func(kept part) bool { return kept.file == p.file }) || !slices.Contains(r.files, p.file) {
			continue
		}
		if p.writable != nil {
			if err := p.writable.end(); err != nil {
				return err
			}
		}
		if err := r.forget(p); err != nil {
			return err
		}
		if r.split() && p.Access == ReadWrite && !filepath.IsAbs(filepath.FromSlash(p.Name)) {
			o := disk.CreateOptions{Files: r.options.Files}
			if err := o.Remove(filepath.Join(r.dir, filepath.FromSlash(p.Name))); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget closes the file of a part that the disk does not have any more.
func (r *resizing) forget(p part) (err error) {
	if p.table != nil && p.table.inflated != nil {
		err = p.table.inflated.Close()
	}
	r.files = slices.DeleteFunc(r.files, func(f disk.File) bool { return f == p.file })
	delete(r.flat, p.Name)
	return errors.Join(err, p.file.Close())
}

// reassemble puts the disk together of its parts again.
func (i *Image) reassemble() {
	i.extents = space.Concat{}
	for _, p := range i.parts {
		i.extents.Add(p.space, p.Sectors*sectorSize)
	}
	i.info.Size = i.extents.Size()
	i.listFiles()
	space.Replace(i.Front, i.extents.Space(), i.info.Size)
}
