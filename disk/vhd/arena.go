package vhd

import (
	"fmt"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
	"github.com/sharevm/vmm/disk/internal/relocate"
)

var _ disk.Arrangeable = (*Image)(nil)

// Arenas implements [disk.Arrangeable] with one arena, in which a slot holds a block with its sector bitmap. A fixed disk has no blocks: the error
// wraps [disk.ErrUnsupported].
func (i *Image) Arenas() ([]disk.Arena, error) {
	if err := i.maintain(); err != nil {
		return nil, err
	}
	if i.table == nil {
		return nil, fmt.Errorf("%s: %w: a fixed disk is preallocated and has no blocks to arrange", i.info.Path, disk.ErrUnsupported)
	}
	if err := i.complete(); err != nil {
		return nil, err
	}
	r, err := i.table.rooms(i.table.placed())
	if err != nil {
		return nil, err
	}
	return []disk.Arena{&arena{i, r}}, nil
}

// maintain prepares for work on the file itself: what is in memory gets there, and the file has to be open for writing.
func (i *Image) maintain() error {
	if err := i.Flush(); err != nil {
		return err
	}
	if i.options.ReadOnly {
		return fmt.Errorf("%s: %w", i.info.Path, disk.ErrReadOnly)
	}
	return nil
}

// complete makes the file hold all of its last block, of which some programs leave out what is beyond the disk.
func (i *Image) complete() error {
	t := i.table
	end := int64(0)
	for b := range t.blocks() {
		if t.bat[b] != unused {
			end = max(end, t.start(uint32(b))+t.stride())
		}
	}
	if end <= t.next {
		return nil
	}
	if err := i.file.Truncate(end); err != nil {
		return err
	}
	t.next, t.grown = end, true
	i.store.Wrote()
	return i.store.Flush()
}

// arena is the room for blocks of a dynamic or differencing disk.
type arena struct {
	i *Image
	*rooms
}

func (a *arena) Name() string     { return a.i.file.Name() }
func (a *arena) BlockSize() int64 { return a.t.blockSize }
func (a *arena) Base() int64      { return 0 }
func (a *arena) Blocks() int64    { return a.t.blocks() }

// Slots counts what writes to the image have added to the file meanwhile.
func (a *arena) Slots() int64 {
	a.divide(a.t.next)
	return a.slots
}

func (a *arena) Slot(block int64) int64 {
	e := atomic.LoadUint32(&a.t.bat[block])
	if e == unused {
		return -1
	}
	a.divide(a.t.next)
	return a.slot(int64(e) * sectorSize)
}

// Drop makes the block a hole. Above a parent that may hold something there, the error wraps [disk.ErrUnsupported].
func (a *arena) Drop(block int64) error {
	t := a.t
	if t.parent != nil {
		off := block << t.shift
		if a.i.parent == nil {
			return fmt.Errorf("%s: %w: without its parent nobody knows what a dropped block would show", a.Name(), disk.ErrUnsupported)
		}
		if zero, err := (chain.Window{Image: a.i.parent}).Zero(off, min(t.blockSize, t.size-off)); err != nil || !zero {
			if err == nil {
				err = fmt.Errorf("%s: %w: a differencing disk cannot hide its parent's block %d without storing it", a.Name(), disk.ErrUnsupported, block)
			}
			return err
		}
	}
	t.drop(block)
	a.i.arranged = true
	a.i.store.Wrote()
	return nil
}

// Move copies the block with its bitmap.
func (a *arena) Move(block, slot int64) error {
	a.divide(a.t.next)
	at := a.place(slot)
	if at/sectorSize >= unused {
		return fmt.Errorf("%s: %w", a.Name(), disk.ErrFull)
	}
	if err := a.t.move(block, at); err != nil {
		return fmt.Errorf("%s: move a block: %w", a.Name(), err)
	}
	a.i.arranged = true
	a.i.store.Wrote()
	return nil
}

func (a *arena) Flush() error { return a.i.Flush() }

func (a *arena) Trim() error {
	if err := a.Flush(); err != nil {
		return err
	}
	if err := a.t.restoreEnd(); err != nil {
		return fmt.Errorf("%s: cut off free room: %w", a.Name(), err)
	}
	a.cut(a.t.next)
	return nil
}

// drop takes a block out of the table, at the next Collect on the disk as well.
func (t *table) drop(block int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	atomic.StoreUint32(&t.bat[block], unused)
	t.full[block/64].And(^(uint64(1) << (block % 64)))
	t.forget(block)
	t.touch(block)
}

// move copies a block to a place that is free or behind the last one.
func (t *table) move(block, at int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.pending) // room that a failed write has taken is free again
	if end := at + t.stride(); end > t.next {
		if err := t.file.Truncate(end); err != nil {
			return err
		}
		t.next, t.grown = end, true
	}
	if err := relocate.Block(t.file, int64(t.bat[block])*sectorSize, at, t.stride()); err != nil {
		return err
	}
	atomic.StoreUint32(&t.bat[block], uint32(at/sectorSize))
	t.touch(block)
	return nil
}
