package vmdk

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sharevm/vmm/disk"
)

// CreateCustom makes a disk of createType "custom" of extents of different kinds, in the order given. Their Names are relative to path's folder and must not
// lead out of it unless o.AllowOutside is set; where one is missing, the file is named after path. The kinds (Type) are
//
//   - SPARSE, in a file that is made, with grains of o.BlockSize;
//   - FLAT, Offset sectors into a file: one that is there stays as it is and must be long enough, one that is not is made. Several may lie in
//     one file, apart;
//   - ZERO, which has no file, reads as zeroes and cannot be written.
//
// O.Size must be 0 or what the extents add up to. Such a disk has no parent.
func CreateCustom(path string, o disk.CreateOptions, extents []Extent) error {
	c := &custom{creation: creation{CreateOptions: o, layout: layout{createType: "custom"}, ancestry: ancestry{cid: noParent}, path: path}}
	err := c.plan(extents)
	if err == nil {
		if err = c.run(); err != nil {
			for _, p := range c.made {
				o.Remove(p)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: create: %w", path, err)
	}
	return nil
}

// custom is a disk of listed extents in the making.
type custom struct {
	creation
	extents []Extent
	ends    map[string]int64 // how long flat files have to be, in sectors
}

// plan checks what was asked for and completes it.
func (c *custom) plan(extents []Extent) (err error) {
	if c.grain, err = grainSectors(c.BlockSize); err != nil {
		return err
	}
	switch {
	case c.Parent != "":
		return fmt.Errorf("%w: a custom disk has no parent", disk.ErrUnsupported)
	case len(extents) == 0:
		return errors.New("a custom disk needs a list of its extents")
	case len(extents) > maxExtents:
		return fmt.Errorf("more than %d extents", maxExtents)
	}
	total := int64(0)
	c.ends = map[string]int64{}
	for n, e := range extents {
		if e, err = c.planExtent(e, n+1); err != nil {
			return fmt.Errorf("extent %d: %w", n+1, err)
		}
		if total += e.Sectors; total > maxSectors {
			return fmt.Errorf("extents of %d sectors and more are larger than any disk", total)
		}
		c.extents = append(c.extents, e)
	}
	if c.Size != 0 && c.Size != total*sectorSize {
		return fmt.Errorf("the extents have %d bytes together, not %d", total*sectorSize, c.Size)
	}
	c.Size = total * sectorSize
	return nil
}

func (c *custom) planExtent(e Extent, number int) (Extent, error) {
	if e.Sectors < 1 || e.Sectors > maxSectors || e.Offset < 0 || e.Offset > maxSectors {
		return e, fmt.Errorf("%d sectors from sector %d on are not possible", e.Sectors, e.Offset)
	}
	base := filepath.Base(c.path)
	stem := strings.TrimSuffix(base, filepath.Ext(base))
	switch e.Type = strings.ToUpper(e.Type); e.Type {
	case "ZERO":
		if e.Name != "" || e.Offset != 0 {
			return e, errors.New("a ZERO extent has no file")
		}
		return e, nil
	case "SPARSE":
		stem += "-s"
		if e.Offset != 0 {
			return e, errors.New("a SPARSE extent takes all of its file")
		}
	case "FLAT":
		stem += "-f"
	default:
		return e, fmt.Errorf("%w: extents of type %q (known: SPARSE, FLAT, ZERO)", disk.ErrUnsupported, clip(e.Type))
	}
	if e.Name == "" {
		e.Name = fmt.Sprintf("%s%03d.vmdk", stem, number)
	}
	e.Name = filepath.ToSlash(filepath.Clean(e.Name))
	if _, err := encodeName(nil, e.Name); err != nil {
		return e, err
	}
	switch {
	case !c.AllowOutside && !filepath.IsLocal(filepath.FromSlash(e.Name)):
		return e, fmt.Errorf("%w: %q is not below the descriptor's folder (allow it explicitly)", disk.ErrOutside, e.Name)
	case e.Name == base:
		return e, fmt.Errorf("%q is the descriptor's own file", e.Name)
	}
	for _, other := range c.extents {
		if other.Name == e.Name && (other.Type != "FLAT" || e.Type != "FLAT" || other.Offset < e.Offset+e.Sectors && e.Offset < other.Offset+other.Sectors) {
			return e, fmt.Errorf("%q is in use by another extent", e.Name)
		}
	}
	if e.Type == "FLAT" {
		c.ends[e.Name] = max(c.ends[e.Name], e.Offset+e.Sectors)
	}
	return e, nil
}

// run makes the files.
func (c *custom) run() error {
	done := map[string]bool{}
	for n, e := range c.extents {
		if e.Type == "ZERO" || done[e.Name] {
			continue
		}
		done[e.Name] = true
		path := filepath.FromSlash(e.Name)
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(c.path), path)
		}
		var err error
		if e.Type == "SPARSE" {
			err = c.writeSparse(path, e.Sectors, nil)
		} else {
			err = c.flat(path, e)
		}
		if err != nil {
			return fmt.Errorf("extent %d: %w", n+1, err)
		}
	}
	text := newDescriptor(c.createType, c.Size/sectorSize, slices.Clone(c.extents), c.ancestry)
	return c.write(c.path, func(f disk.File) error {
		_, err := f.WriteAt(text, 0)
		return err
	})
}

// flat makes the file of a flat extent, or looks at the one that is there.
func (c *custom) flat(path string, e Extent) error {
	end := c.ends[e.Name] * sectorSize
	err := c.write(path, func(f disk.File) error { return f.Truncate(end) })
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	o := disk.OpenOptions{ReadOnly: true, AllowOutside: c.AllowOutside, Files: c.Files}
	f, err := o.OpenBeside(filepath.Dir(c.path), filepath.FromSlash(e.Name), true)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err == nil && size < end {
		err = fmt.Errorf("%s has %d bytes, and its extents need %d", f.Name(), size, end)
	}
	return err
}
