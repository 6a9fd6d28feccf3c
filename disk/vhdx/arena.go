package vhdx

import (
	"fmt"
	"sort"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/relocate"
)

// maxRuns bounds the runs of slots of an arena: 24 MiB.
const maxRuns = 1 << 20

// arena is the room for blocks of a disk, until the disk is written to. Sector bitmaps lie between its slots; Trim moves them.
type arena struct {
	*Image
	runs []run // in the order of the file; the last one goes on behind its end
}

// run is a row of slots.
type run struct {
	first int64 // its first slot's number
	at    int64 // and place in the file
}

// Arenas implements [disk.Arrangeable]. A fixed disk's blocks stay in their places.
func (i *Image) Arenas() ([]disk.Arena, error) {
	if i.metadata.fixed {
		return nil, i.named("arrange its blocks", fmt.Errorf("%w: the disk is preallocated (fixed)", disk.ErrUnsupported))
	}
	if err := i.maintain(); err != nil {
		return nil, i.named("arrange its blocks", err)
	}
	a := &arena{Image: i}
	if err := a.number(i.table.used); err != nil {
		return nil, i.named("arrange its blocks", err)
	}
	return []disk.Arena{a}, nil
}

// number divides the file into slots: the places of blocks, and what fits between them and whatever else is in the file.
func (a *arena) number(used *occupancy) error {
	t, size := a.table, a.table.blockSize()
	blocks := newOccupancy(t.length) // the first MiB of each
	err := t.scan(t.entries(), func(index int64, e entry) error {
		if _, isBitmap := t.at(index); e.stored() && !isBitmap && !t.stray(index) {
			blocks.take(int64(e.offset()), int64(e.offset())+mib)
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.runs = nil
	slot, next := int64(0), int64(-1) // next is where the last run would go on
	add := func(at, count int64) error {
		if at != next {
			if len(a.runs) == maxRuns {
				return disk.Unsupported(t.file.Name(), at, "its blocks lie too scattered to be arranged")
			}
			a.runs = append(a.runs, run{slot, at})
		}
		slot, next = slot+count, at+count*size
		return nil
	}
	at := int64(0)
	for {
		taken := used.used(at)
		if taken < 0 { // from here on there is nothing
			return add(at, 0)
		}
		if n := (taken - at) / size; n > 0 {
			if err := add(at, n); err != nil {
				return err
			}
		}
		if at = taken; !blocks.has(at) {
			at += mib
			continue
		}
		if err := add(at, 1); err != nil {
			return err
		}
		at += size
	}
}

// Name implements [disk.Arena].
func (a *arena) Name() string { return a.info.Path }

// BlockSize implements [disk.Arena].
func (a *arena) BlockSize() int64 { return a.table.blockSize() }

// Base implements [disk.Arena].
func (a *arena) Base() int64 { return 0 }

// Blocks implements [disk.Arena].
func (a *arena) Blocks() int64 { return a.table.blocks() }

// Slots implements [disk.Arena].
func (a *arena) Slots() int64 {
	last, t := a.runs[len(a.runs)-1], a.table
	end := max(t.length, t.used.end()) // the last block may be cut short
	return last.first + max(0, end-last.at)/t.blockSize()
}

// place is where a slot lies in the file.
func (a *arena) place(slot int64) int64 {
	k := sort.Search(len(a.runs), func(k int) bool { return a.runs[k].first > slot }) - 1
	return a.runs[k].at + (slot-a.runs[k].first)*a.table.blockSize()
}

// Slot implements [disk.Arena].
func (a *arena) Slot(block int64) int64 {
	e, err := a.table.load(a.table.index(block))
	if err != nil || !e.stored() {
		return -1
	}
	at := int64(e.offset())
	k := sort.Search(len(a.runs), func(k int) bool { return a.runs[k].at > at }) - 1
	return a.runs[k].first + (at-a.runs[k].at)/a.table.blockSize()
}

// Drop implements [disk.Arena]. Above a parent the block is marked as zeroes.
func (a *arena) Drop(block int64) error {
	t := a.table
	if err := a.session.begin(); err != nil {
		return a.named("drop a block", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.get(t.index(block))
	if err != nil || !e.stored() {
		return err
	}
	if err := t.openLog(); err != nil {
		return a.named("drop a block", err)
	}
	state := notPresent
	if t.parent {
		state = zero
	}
	delete(t.fresh, block)
	t.set(t.index(block), newEntry(state, 0))
	t.leave(e, t.blockSize())
	a.store.Wrote()
	return nil
}

// leave notes that a place is free after the next Flush. Called with mu held.
func (t *table) leave(e entry, size int64) {
	t.freed = append(t.freed, span{int64(e.offset()), int64(e.offset()) + size})
}

// Move implements [disk.Arena].
func (a *arena) Move(block, slot int64) error {
	t := a.table
	if err := a.session.touch(); err != nil {
		return a.named("move a block", err)
	}
	if slot < 0 || slot > maxFile/t.blockSize() {
		return a.named("move a block", fmt.Errorf("%w: there is no slot %d", disk.ErrFull, slot))
	}
	at := a.place(slot)
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.get(t.index(block))
	switch {
	case err != nil:
		return err
	case !e.stored():
		return a.named("move a block", fmt.Errorf("block %d is not stored", block))
	}
	if n := t.used.used(at); n >= 0 && n < at+t.blockSize() {
		return a.named("move a block", fmt.Errorf("slot %d is in use", slot))
	}
	if err := t.relocate(t.index(block), at); err != nil {
		return a.named("move a block", err)
	}
	a.store.Wrote()
	return nil
}

// relocate copies what entry number index places to at, and has the entry say so. Called with mu held, and for a sector bitmap when
// none has changed since it was read.
func (t *table) relocate(index, at int64) error {
	if err := t.openLog(); err != nil {
		return err
	}
	e, err := t.get(index)
	if err != nil {
		return err
	}
	size := t.sizeOf(index)
	if err := t.extend(at + size); err != nil {
		return err
	}
	if err := relocate.Block(t.file, int64(e.offset()), at, size); err != nil {
		return err
	}
	t.set(index, newEntry(e.state(), at))
	t.used.take(at, at+size)
	t.leave(e, size)
	return nil
}

// Flush implements [disk.Arena].
func (a *arena) Flush() error {
	if err := a.Image.Flush(); err != nil {
		return a.named("arrange its blocks", err)
	}
	t := a.table
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.freed {
		t.used.release(s.start, s.end)
	}
	t.freed = nil
	clear(t.searched)
	return nil
}

// Trim implements [disk.Arena]. Sector bitmaps behind the last block move to holes in front of it, and slots are numbered anew.
func (a *arena) Trim() error {
	if err := a.trim(); err != nil {
		return a.named("trim", err)
	}
	return nil
}

func (a *arena) trim() error {
	for {
		if err := a.Image.Flush(); err != nil {
			return err
		}
		t := a.table
		if err := t.settle(); err != nil { // the file ends behind the last block or bitmap now
			return err
		}
		moved, err := t.lowerBitmaps()
		if err != nil {
			return err
		}
		if !moved {
			return a.number(t.used)
		}
		a.store.Wrote()
	}
}

// lowerBitmaps moves sector bitmaps that lie behind the last block to holes further in front.
func (t *table) lowerBitmaps() (moved bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := int64(0) // where the last block ends
	var bitmaps []int64
	err = t.scan(t.entries(), func(index int64, e entry) error {
		_, isBitmap := t.at(index)
		switch {
		case !e.stored() || t.stray(index):
		case isBitmap:
			bitmaps = append(bitmaps, index)
		default:
			last = max(last, int64(e.offset())+t.blockSize())
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	clear(t.cached) // by places; nothing in it has changed
	from := int64(headerArea)
	for _, index := range bitmaps {
		e, err := t.get(index)
		if err != nil {
			return moved, err
		}
		if int64(e.offset()) < last {
			continue
		}
		at, ok := t.used.hole(bitmapBlock, from, int64(e.offset()))
		if !ok {
			continue
		}
		if err := t.relocate(index, at); err != nil {
			return moved, err
		}
		moved, from = true, at
	}
	return moved, nil
}
