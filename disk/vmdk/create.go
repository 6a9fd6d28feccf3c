package vmdk

import (
	"errors"
	"fmt"
	"math/bits"
	"path/filepath"
	"strings"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
)

// What VMware's programs make.
const (
	defaultGrain = 64 << 10
	// splitSectors is the size of the pieces of a disk in several files: 2 GiB less 1 MiB.
	splitSectors = 4192256
	// descriptorSectors is the room for a descriptor inside an extent.
	descriptorSectors = 20
)

// layout is a variant: how a disk is cut into files.
type layout struct {
	createType string
	extent     string // the type in extent lines
	embedded   bool   // the descriptor lies in the extent
	split      bool
	compressed bool
	suffix     string // of extent files, with a number if split
}

var layouts = []layout{
	{createType: "monolithicSparse", extent: "SPARSE", embedded: true},
	{createType: "monolithicFlat", extent: "FLAT", suffix: "-flat"},
	{createType: "twoGbMaxExtentSparse", extent: "SPARSE", split: true, suffix: "-s%03d"},
	{createType: "vmfs", extent: "VMFS", suffix: "-flat"},
	{createType: "streamOptimized", extent: "SPARSE", embedded: true, compressed: true},
	{createType: "twoGbMaxExtentFlat", extent: "FLAT", split: true, suffix: "-f%03d"},
}

// Create makes a disk of o.Size bytes, or a snapshot of o.Parent; neither path nor the extents' files may exist. Variants are monolithicSparse (the default),
// monolithicFlat, twoGbMaxExtentSparse, twoGbMaxExtentFlat, streamOptimized and vmfs.
func Create(path string, o disk.CreateOptions) error {
	l, err := findLayout(o.Variant)
	if err != nil {
		return fmt.Errorf("%s: create: %w", path, err)
	}
	a := ancestry{cid: noParent}
	if o.Parent != "" {
		if l.extent != "SPARSE" {
			return fmt.Errorf("%s: create: a snapshot is stored in a sparse variant, not in %s", path, l.createType)
		}
		if a, err = adopt(path, &o); err != nil {
			return fmt.Errorf("%s: create: %w", path, err)
		}
	}
	grain, err := grainSectors(o.BlockSize)
	if err != nil {
		return fmt.Errorf("%s: create: %w", path, err)
	}
	name := filepath.Base(path)
	switch {
	case o.Size < 0 || o.Size%sectorSize != 0 || o.Size/sectorSize > maxSectors:
		return fmt.Errorf("%s: create: a VMDK's size is a multiple of %d bytes; %d is not", path, sectorSize, o.Size)
	case l.compressed && grain > maxStreamGrain:
		return fmt.Errorf("%s: create: compressed grains are of %d bytes at most", path, maxStreamGrain*sectorSize)
	case strings.ContainsAny(name, "\"\n\r\x00\\"), len(name) > 255:
		return fmt.Errorf("%s: create: a descriptor cannot hold this name", path)
	}
	c := &creation{CreateOptions: o, path: path, layout: l, grain: grain, ancestry: a}
	if err := c.run(); err != nil {
		for _, p := range c.made {
			o.Remove(p)
		}
		return fmt.Errorf("%s: create: %w", path, err)
	}
	return nil
}

// grainSectors returns the size of grains in sectors, given what was asked for in bytes.
func grainSectors(block int64) (int64, error) {
	if block == 0 {
		block = defaultGrain
	}
	if block < minGrain*sectorSize || block > maxGrain*sectorSize || bits.OnesCount64(uint64(block)) != 1 {
		return 0, fmt.Errorf("grain size %d does not suit (usual: %d)", block, defaultGrain)
	}
	return block / sectorSize, nil
}

func findLayout(variant string) (layout, error) {
	if variant == "" {
		return layouts[0], nil
	}
	variant = strings.Replace(variant, "2Gb", "twoGb", 1) // what newer programs write
	if strings.EqualFold(variant, "custom") {
		return layout{}, errors.New("a custom disk needs a list of its extents")
	}
	var known []string
	for _, l := range layouts {
		if strings.EqualFold(l.createType, variant) {
			return l, nil
		}
		known = append(known, l.createType)
	}
	return layout{}, fmt.Errorf("unknown VMDK variant %q (known: %s)", variant, strings.Join(known, ", "))
}

// adopt looks at the parent that o names, and completes the size with the parent's.
func adopt(path string, o *disk.CreateOptions) (ancestry, error) {
	parent, name, err := chain.Base(path, *o, openOwn)
	if err != nil {
		return ancestry{}, err
	}
	defer parent.Close()
	if strings.ContainsAny(name, "\"\n\r\x00\\") {
		return ancestry{}, fmt.Errorf("a descriptor cannot hold the parent's name %q", name)
	}
	if o.Size == 0 {
		o.Size = parent.Size()
	}
	return ancestry{identify(parent), name}, nil
}

// creation is a disk in the making.
type creation struct {
	disk.CreateOptions
	layout
	ancestry
	path  string
	grain int64    // sectors
	made  []string // files so far
}

func (c *creation) run() error {
	extents := c.plan()
	text := newDescriptor(c.createType, c.Size/sectorSize, extents, c.ancestry)
	if c.compressed {
		return c.writeStream(text)
	}
	if c.embedded {
		return c.writeSparse(c.path, c.Size/sectorSize, text)
	}
	for _, e := range extents {
		path := filepath.Join(filepath.Dir(c.path), e.Name)
		var err error
		if e.Type == "SPARSE" {
			err = c.writeSparse(path, e.Sectors, nil)
		} else {
			err = c.write(path, func(f disk.File) error { return f.Truncate(e.Sectors * sectorSize) })
		}
		if err != nil {
			return err
		}
	}
	return c.write(c.path, func(f disk.File) error {
		_, err := f.WriteAt(text, 0)
		return err
	})
}

// plan lists the extents. A disk of no bytes has one as well.
func (c *creation) plan() (out []Extent) {
	base := filepath.Base(c.path)
	stem := strings.TrimSuffix(base, filepath.Ext(base))
	for left, n := c.Size/sectorSize, 1; left > 0 || n == 1; n++ {
		e := Extent{Sectors: left, Type: c.extent, Name: base}
		switch {
		case c.split:
			e.Sectors = min(left, splitSectors)
			e.Name = stem + fmt.Sprintf(c.suffix, n) + ".vmdk"
		case !c.embedded:
			e.Name = stem + c.suffix + ".vmdk"
		}
		out = append(out, e)
		left -= e.Sectors
	}
	return out
}

// write makes the file path and has fill write it, durably.
func (c *creation) write(path string, fill func(disk.File) error) error {
	f, err := c.Create(path)
	if err != nil {
		return err
	}
	c.made = append(c.made, path)
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// writeSparse makes an empty sparse extent: header, descriptor if any, both directories each with its tables, all of
// them in place so that no later write has to add one.
func (c *creation) writeSparse(path string, sectors int64, descriptor []byte) error {
	h := &header{version: 1, flags: flagNewlines | flagRedundant, capacity: sectors, grain: c.grain, tableEntries: maxTable}
	if h.entries() > maxDirectory {
		return fmt.Errorf("%d bytes need larger grains than %d bytes", sectors*sectorSize, c.grain*sectorSize)
	}
	at := int64(1)
	if descriptor != nil {
		h.descriptorOffset, h.descriptorSize = 1, descriptorSectors
		at += descriptorSectors
	}
	dirSectors := (h.entries()*4 + sectorSize - 1) / sectorSize
	tableSectors := h.tableBytes() / sectorSize
	place := func() (sector int64, d directory) {
		sector = at
		at += dirSectors
		d = make(directory, h.entries())
		for i := range d {
			d[i] = uint32(at)
			at += tableSectors
		}
		return sector, d
	}
	var gd, rgd directory
	h.redundantGD, rgd = place()
	h.gd, gd = place()
	h.overhead = (at + h.grain - 1) / h.grain * h.grain

	return c.write(path, func(f disk.File) error {
		if err := f.Truncate(h.overhead * sectorSize); err != nil {
			return err
		}
		for _, p := range []struct {
			sector int64
			data   []byte
		}{{0, h.encode()}, {h.descriptorOffset, descriptor}, {h.redundantGD, encode(rgd)}, {h.gd, encode(gd)}} {
			if len(p.data) == 0 {
				continue
			}
			if _, err := f.WriteAt(p.data, p.sector*sectorSize); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeStream makes an empty streamOptimized extent: header, descriptor, directory, footer.
func (c *creation) writeStream(descriptor []byte) error {
	h := &header{
		version: 3, flags: flagNewlines | flagCompressed | flagMarkers, capacity: c.Size / sectorSize, grain: c.grain, tableEntries: maxTable,
		descriptorOffset: 1, descriptorSize: descriptorSectors, overhead: max(c.grain, 128), compressed: true, streamed: true,
	}
	if h.entries() > maxDirectory {
		return fmt.Errorf("%d bytes need larger grains than %d bytes", c.Size, c.grain*sectorSize)
	}
	h.gd = h.overhead + 1
	end := append(padded(append(marker(markGD, h.entries()*4), make([]byte, h.entries()*4)...)), h.tail()...)
	return c.write(c.path, func(f disk.File) error {
		for _, p := range []struct {
			sector int64
			data   []byte
		}{{0, h.encode()}, {1, descriptor}, {h.overhead, end}} {
			if _, err := f.WriteAt(p.data, p.sector*sectorSize); err != nil {
				return err
			}
		}
		return nil
	})
}
