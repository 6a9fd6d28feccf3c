package vdi

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/sharevm/vmm/disk"
)

var _ disk.Resizer = (*Image)(nil)

// Resize implements [disk.Resizer], up to as many blocks as a map may have. The header, one sector, switches from the old capacity to the new one and from the old
// map to the new one.
func (i *Image) Resize(size int64) error {
	if err := i.maintain(); err != nil {
		return err
	}
	t := i.table
	switch {
	case size < 0 || size%sectorSize != 0:
		return fmt.Errorf("%s: resize: %w: a VDI's size is a multiple of %d bytes; %d is not", i.info.Path, disk.ErrUnsupported, sectorSize, size)
	case size > maxEntries*t.block:
		return fmt.Errorf("%s: resize: %w: in blocks of %d bytes a VDI holds at most %d bytes", i.info.Path, disk.ErrUnsupported, t.block, maxEntries*t.block)
	case size == t.size:
		return nil
	}
	var err error
	if size > t.size {
		err = i.grow(size)
	} else {
		err = i.shrink(size)
	}
	if e := i.load(); err == nil { // after a failure as well: some of it may have been done
		err = e
	}
	if err == nil {
		err = i.tidy(math.MaxInt64)
	}
	if err != nil {
		return fmt.Errorf("%s: resize: %w", i.info.Path, err)
	}
	return nil
}

// shrink makes the disk smaller. Its last blocks stay in slots behind the new number of blocks until Resize closes the gaps; if that is further than a
// map may go, gaps are closed before, by and by, so that a crash leaves no more of them than Open closes.
func (i *Image) shrink(size int64) error {
	t := i.table
	blocks := (size + t.block - 1) >> t.shift
	if t.reaches(blocks) > blocks+overhang {
		batch := max(1, maxMoved/2/t.stride())
		for b := t.blocks - 1; b >= blocks; b-- {
			t.drop(b)
			if (b-blocks)%batch != 0 {
				continue
			}
			i.store.Wrote()
			if err := i.tidy(math.MaxInt64); err != nil {
				return err
			}
		}
	}
	h := *t.header
	h.size, h.blocks, h.allocated = size, blocks, t.reaches(blocks)
	return i.setHeader(&h)
}

// reaches returns the first slot behind all those of the first blocks.
func (t *table) reaches(blocks int64) int64 {
	top := int64(0)
	for _, e := range t.slots[:blocks] {
		if e <= lastSlot {
			top = max(top, int64(e)+1)
		}
	}
	return top
}

// grow makes the disk larger.
func (i *Image) grow(size int64) error {
	t := i.table
	if err := t.cut(0); err != nil {
		return err
	}
	if in := t.size % t.block; in != 0 { // what is behind the end belongs to the disk soon
		if e := t.slots[t.size>>t.shift]; e <= lastSlot {
			if err := i.file.Zero(t.slot(int64(e))+in, t.block-in, true); err != nil {
				return err
			}
		}
	}
	h := *t.header
	h.size, h.blocks = size, max(t.blocks, (size+t.block-1)>>t.shift)
	if h.mapAt+h.blocks*4 > h.dataAt {
		if err := i.makeRoom(&h); err != nil {
			return err
		}
	}
	h.allocated = max(0, t.top-t.shifted(&h))
	if h.kind == typeFixed {
		h.allocated += h.blocks - t.blocks
	}
	if err := i.file.Truncate(max(t.length, h.end(h.allocated))); err != nil {
		return err
	}
	if err := i.writeMap(&h); err != nil {
		return err
	}
	if err := i.file.Sync(); err != nil {
		return err
	}
	return i.setHeader(&h)
}

// shifted is by how many slots the data of h starts later than t's.
func (t *table) shifted(h *header) int64 { return (h.dataAt - t.dataAt) / t.stride() }

// makeRoom places h's map, which is too long for the room before the first slot: before or behind the present map, which stays
// valid meanwhile, and where that leads into slots, their blocks move to the end. H's slots start behind the map.
func (i *Image) makeRoom(h *header) error {
	t := i.table
	if headerSize+h.blocks*4 <= t.mapAt {
		h.mapAt = headerSize
		return nil
	}
	h.mapAt = (t.mapAt + t.blocks*4 + sectorSize - 1) / sectorSize * sectorSize
	away := max(0, (h.mapAt+h.blocks*4-t.dataAt+t.stride()-1)/t.stride())
	h.dataAt += away * t.stride()
	if h.dataAt > math.MaxUint32 {
		return fmt.Errorf("%w: the blocks would start beyond 4 GiB", disk.ErrUnsupported)
	}
	for b := range t.blocks {
		if int64(t.slots[b]) >= away { // free ones have large numbers
			continue
		}
		if err := t.move(b, max(t.top, away)); err != nil {
			return err
		}
	}
	i.store.Wrote()
	if err := i.store.Flush(); err != nil {
		return err
	}
	t.release()
	return nil
}

// writeMap writes the map of h, with t's blocks and those of a fixed disk that are new: all of it, or what is behind t's if that stays where it is.
func (i *Image) writeMap(h *header) error {
	t, first := i.table, int64(0)
	if h.mapAt == t.mapAt {
		first = t.blocks
	}
	shifted, p := uint32(t.shifted(h)), make([]byte, 0, scanStep)
	for b := first; b < h.blocks; {
		at := h.mapAt + b*4
		for p = p[:0]; b < h.blocks && len(p) < scanStep; b++ {
			e := uint32(entryFree)
			switch {
			case b < t.blocks && t.slots[b] <= lastSlot:
				e = t.slots[b] - shifted
			case b < t.blocks:
				e = t.slots[b]
			case h.kind == typeFixed:
				e = uint32(t.top+b-t.blocks) - shifted
			}
			p = binary.LittleEndian.AppendUint32(p, e)
		}
		if _, err := i.file.WriteAt(p, at); err != nil {
			return err
		}
	}
	return nil
}

// setHeader writes what h says into the header, with a new modification UUID, and leaves all else there.
func (i *Image) setHeader(h *header) error {
	var p [headerSize]byte
	if err := disk.ReadFull(i.file, p[:], 0, "header"); err != nil {
		return err
	}
	for at, v := range map[int]int64{mapAt: h.mapAt, dataAt: h.dataAt, blocksAt: h.blocks, allocatedAt: h.allocated} {
		binary.LittleEndian.PutUint32(p[at:], uint32(v))
	}
	binary.LittleEndian.PutUint64(p[capacityAt:], uint64(h.size))
	if !i.options.KeepIdentity {
		putUUID(p[modifyAt:])
	}
	if _, err := i.file.WriteAt(p[:], 0); err != nil {
		return err
	}
	return i.file.Sync()
}
