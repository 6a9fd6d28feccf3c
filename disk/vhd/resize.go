package vhd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
	"github.com/sharevm/vmm/disk/internal/mapped"
)

var _ disk.Resizer = (*Image)(nil)

// Resize implements [disk.Resizer], up to 2040 GiB. The footers switch from the old capacity to the new one; what a larger disk needs is there before, what
// a smaller one does not need goes afterwards. A differencing disk that was opened alone only shrinks.
func (i *Image) Resize(size int64) error {
	if err := i.maintain(); err != nil {
		return err
	}
	err := checkSize(size)
	if err == nil && i.table != nil && (size+i.table.blockSize-1)>>i.table.shift > maxEntries {
		err = fmt.Errorf("blocks of %d bytes are too small for so large a disk", i.table.blockSize)
	}
	if err == nil && i.options.Alone && i.table != nil && i.table.parent != nil && size > i.info.Size {
		err = errors.New("without its parent nobody knows what has to be hidden in what is added")
	}
	if err != nil {
		return fmt.Errorf("%s: resize: %w: %w", i.info.Path, disk.ErrUnsupported, err)
	}
	switch {
	case size == i.info.Size:
		return nil
	case i.table == nil:
		err = i.resizeFixed(size)
	case size > i.info.Size:
		err = i.grow(size)
	default:
		err = i.shrink(size)
	}
	if e := i.reload(); err == nil { // after a failure as well: some of it may have been done
		err = e
	}
	if err == nil && i.table != nil {
		err = i.tidy(math.MaxInt64)
	}
	if err != nil {
		return fmt.Errorf("%s: resize: %w", i.info.Path, err)
	}
	return nil
}

// grow makes a dynamic or differencing disk larger.
func (i *Image) grow(size int64) error {
	if err := i.complete(); err != nil {
		return err
	}
	t := i.table
	if need := (size + t.blockSize - 1) >> t.shift; need > t.entries {
		if err := i.extendTable(need); err != nil {
			return err
		}
		if err := i.load(); err != nil {
			return err
		}
		i.serve()
	}
	if err := i.clearTail(size); err != nil {
		return err
	}
	return i.setFooters(i.table.footer.with(func(f *footer) { f.setSize(size) }))
}

// setFooters writes both copies of a changed footer.
func (i *Image) setFooters(f *footer) error {
	// They may reach the disk in either order: each belongs to a sound image, and the one at the end is believed.
	if _, err := i.file.WriteAt(f[:], i.table.next); err != nil {
		return err
	}
	if err := i.writeSynced(f[:], 0); err != nil {
		return err
	}
	i.table.footer = f
	return nil
}

// extendTable makes the table one of need entries.
func (i *Image) extendTable(need int64) error {
	t := i.table
	old := t.entries * 4
	from, end := old/sectorSize*sectorSize, (need*4+sectorSize-1)/sectorSize*sectorSize
	for _, a := range t.besides() {
		if overlap(t.tableOffset, t.tableOffset+end, a.start, a.end) {
			return i.moveTable(need)
		}
	}
	if err := i.makeRoom(t.tableOffset+old, t.tableOffset+end); err != nil {
		return err
	}
	p := bytes.Repeat([]byte{0xff}, int(end-from))
	for k, e := range t.bat[from/4:] {
		binary.BigEndian.PutUint32(p[4*k:], e)
	}
	if err := i.writeSynced(p, t.tableOffset+from); err != nil {
		return err
	}
	return i.editHeader(func(h []byte) { binary.BigEndian.PutUint32(h[entriesAt:], uint32(need)) })
}

// makeRoom moves blocks that lie in [from, to) of the file to its end, and the footer behind to.
func (i *Image) makeRoom(from, to int64) error {
	t := i.table
	if t.next < to {
		t.next, t.grown = to, true
	}
	for b := range t.blocks() {
		if t.bat[b] == unused || !overlap(t.start(uint32(b)), t.start(uint32(b))+t.stride(), from, to) {
			continue
		}
		at := t.align(t.next)
		if at/sectorSize >= unused {
			return disk.ErrFull
		}
		if err := t.move(b, at); err != nil {
			return err
		}
	}
	i.store.Wrote()
	return i.store.Flush()
}

// moveTable writes a table of need entries at the end of the file: where it is, there is another table in the way.
func (i *Image) moveTable(need int64) error {
	t := i.table
	at := (t.next + sectorSize - 1) / sectorSize * sectorSize
	p := bytes.Repeat([]byte{0xff}, int((need*4+sectorSize-1)/sectorSize*sectorSize))
	for k, e := range t.bat[:t.blocks()] {
		binary.BigEndian.PutUint32(p[4*k:], e)
	}
	if _, err := i.file.WriteAt(p, at); err != nil {
		return err
	}
	t.next = at + int64(len(p))
	if err := i.writeSynced(t.footer[:], t.next); err != nil {
		return err
	}
	return i.editHeader(func(h []byte) {
		binary.BigEndian.PutUint64(h[tableOffsetAt:], uint64(at))
		binary.BigEndian.PutUint32(h[entriesAt:], uint32(need))
	})
}

// editHeader changes the header's first sector, which reaches the disk whole or not at all.
func (i *Image) editHeader(edit func(h []byte)) error {
	h := make([]byte, headerSize)
	if err := disk.ReadFull(i.file, h, i.table.at, "dynamic header"); err != nil {
		return err
	}
	edit(h)
	binary.BigEndian.PutUint32(h[headerSumAt:], checksum(h, headerSumAt))
	return i.writeSynced(h[:sectorSize], i.table.at)
}

// clearTail has what is between the disk's end and size read as zeroes once it belongs to the disk: the rest of the last block, and what a parent has there.
func (i *Image) clearTail(size int64) error {
	t := i.table
	old := t.size
	if last := old >> t.shift; old%t.blockSize != 0 && t.bat[last] != unused {
		if err := i.file.Zero(t.data(t.bat[last])+old%t.blockSize, t.blockSize-old%t.blockSize, true); err != nil {
			return err
		}
		i.store.Wrote()
	}
	if i.parent != nil && i.parent.Size() > old {
		t.size = size
		store := mapped.NewChild(i.file, t, chain.Window{Image: i.parent})
		if err := store.WriteZeroes(old, min(size, i.parent.Size())-old, true); err != nil {
			return err
		}
		if err := store.Flush(); err != nil {
			return err
		}
	}
	return i.store.Flush()
}

// shrink makes a dynamic or differencing disk smaller, and its file.
func (i *Image) shrink(size int64) error {
	if err := i.setFooters(i.table.footer.with(func(f *footer) { f.setSize(size) })); err != nil {
		return err
	}
	need := (size + i.table.blockSize - 1) >> i.table.shift
	return i.editHeader(func(h []byte) { binary.BigEndian.PutUint32(h[entriesAt:], uint32(need)) })
}
