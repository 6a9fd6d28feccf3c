package vhdx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
)

const (
	// defaultBlock and defaultChildBlock are Hyper-V's block sizes.
	defaultBlock      = 32 * mib
	defaultChildBlock = 2 * mib

	creator     = "vmm"
	logSize     = mib
	logStart    = headerArea
	metaStart   = logStart + logSize
	batStart    = metaStart + mib
	tablePieces = mib // how much of a table is written at a time
	defaultUnit = 512
)

func (m *metadata) variant() string {
	switch {
	case m.locator != nil:
		return "differencing"
	case m.fixed:
		return "fixed"
	}
	return "dynamic"
}

// Create makes a disk of o.Size bytes; path must not exist. Variants are "dynamic" (the default), "fixed" and, with a parent,
// "differencing".
func Create(path string, o disk.CreateOptions) error {
	m, err := describe(path, o)
	if err != nil {
		return fmt.Errorf("%s: create: %w", path, err)
	}
	return o.Fill(path, func(f disk.File) error { return write(f, m) })
}

// describe turns the options into the metadata of a new disk.
func describe(path string, o disk.CreateOptions) (*metadata, error) {
	m := &metadata{size: o.Size, blockSize: o.BlockSize, fixed: o.Variant == "fixed", id: newGUID(), sector: int64(o.SectorSize), physical: 4096}
	if m.sector == 0 {
		m.sector = defaultUnit
	}
	switch {
	case o.Parent != "" && o.Variant != "" && o.Variant != "differencing":
		return nil, fmt.Errorf("a disk with a parent is differencing, not %q", o.Variant)
	case o.Parent != "":
		if err := m.descend(path, o); err != nil {
			return nil, err
		}
	case o.Variant == "differencing":
		return nil, fmt.Errorf("a differencing disk needs a parent")
	case o.Variant != "" && o.Variant != "dynamic" && o.Variant != "fixed":
		return nil, fmt.Errorf("a VHDX is dynamic, fixed or differencing, not %q", o.Variant)
	}
	if m.blockSize == 0 {
		m.blockSize = defaultBlock
		if m.locator != nil {
			m.blockSize = defaultChildBlock
		}
	}
	switch {
	case m.sector != 512 && m.sector != 4096:
		return nil, fmt.Errorf("a VHDX's sectors have 512 or 4096 bytes, not %d", m.sector)
	case m.size < 0 || m.size%m.sector != 0:
		return nil, fmt.Errorf("the size must be a multiple of %d bytes; %d is not", m.sector, m.size)
	case m.size > maxSize:
		return nil, fmt.Errorf("a VHDX holds at most 64 TiB, %d bytes are more", m.size)
	case m.blockSize < minBlock || m.blockSize > maxBlock || bits.OnesCount64(uint64(m.blockSize)) != 1:
		return nil, fmt.Errorf("block size %d is not a power of two from %d to %d", m.blockSize, minBlock, maxBlock)
	}
	return m, nil
}

// descend makes m a child of o.Parent.
func (m *metadata) descend(path string, o disk.CreateOptions) error {
	parent, name, err := chain.Base(path, o, openParent)
	if err != nil {
		return err
	}
	defer parent.Close()
	p, ok := parent.(*Image)
	if !ok {
		return fmt.Errorf("%w: the parent of a VHDX must be a VHDX, and %s is %s", disk.ErrUnsupported, o.Parent, parent.Info().Format)
	}
	if o.SectorSize != 0 && o.SectorSize != p.info.SectorSize {
		return fmt.Errorf("the parent's sectors have %d bytes, which its child's must have too, not %d", p.info.SectorSize, o.SectorSize)
	}
	if m.size == 0 {
		m.size = p.Size()
	}
	// What belongs to the disk and not to the file is the parent's (2.6.1.2).
	m.id, m.sector, m.physical = p.metadata.id, p.metadata.sector, p.metadata.physical
	m.locator = &locator{linkage: []guid{p.dataWrite}, names: []string{name}}
	return nil
}

// write fills in a new file.
func write(file disk.File, m *metadata) error {
	l := newLayout(m)
	bat := region{start: batStart, end: batStart + tableRoom(l)}
	size := bat.end
	if m.fixed {
		size += l.blocks() << l.blockShift
	}
	if err := file.Truncate(size); err != nil {
		return err
	}
	h := header{sequence: 1, fileWrite: newGUID(), dataWrite: newGUID(), version: version, logLength: logSize, logOffset: logStart}
	second := h
	second.sequence++
	table := encodeRegions(bat, region{start: metaStart, end: metaStart + mib})
	for _, p := range []page{
		{0, append([]byte(fileSignature), encodeUTF16(creator)...)},
		{headerAt[0], h.encode()}, {headerAt[1], second.encode()},
		{regionAt[0], table}, {regionAt[1], table},
		{metaStart, bytes.TrimRight(m.encode(), "\x00")},
	} {
		if _, err := file.WriteAt(p.data, p.off); err != nil {
			return err
		}
	}
	if m.fixed { // all blocks one after the other behind the table
		return writeEntries(file, l, bat, 0, l.blocks(), func(block int64) entry { return newEntry(fullyPresent, bat.end+block<<l.blockShift) })
	}
	return nil
}

// tableRoom is how long to make the region for the table of a disk as l says: with room for the entries that a child has too, because a disk
// may become one.
func tableRoom(l layout) int64 {
	l.parent = true
	return max(mib, (l.entries()*8+mib-1)&^(mib-1))
}

// writeEntries writes the entries of blocks [first, end) into a table at bat. It leaves those of sector bitmaps alone.
func writeEntries(file disk.File, l layout, bat region, first, end int64, of func(block int64) entry) error {
	var p []byte
	for block := first; block < end; block++ {
		p = binary.LittleEndian.AppendUint64(p, uint64(of(block)))
		if next := block + 1; next < end && len(p) < tablePieces && l.index(next) == l.index(block)+1 {
			continue
		}
		if _, err := file.WriteAt(p, bat.start+l.index(block)*8+8-int64(len(p))); err != nil {
			return err
		}
		p = p[:0]
	}
	return nil
}
