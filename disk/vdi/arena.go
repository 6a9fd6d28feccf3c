package vdi

import (
	"fmt"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
)

var _ disk.Arrangeable = (*Image)(nil)

// Arenas implements [disk.Arrangeable] with one arena. A fixed disk is refused with an error that wraps [disk.ErrUnsupported].
func (i *Image) Arenas() ([]disk.Arena, error) {
	if err := i.maintain(); err != nil {
		return nil, err
	}
	if i.table.kind == typeFixed {
		return nil, fmt.Errorf("%s: %w: a fixed disk is preallocated, and there is nothing to arrange", i.info.Path, disk.ErrUnsupported)
	}
	return []disk.Arena{&arena{i}}, nil
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

// arena is the room for blocks behind the map.
type arena struct{ i *Image }

func (a *arena) Name() string     { return a.i.info.Path }
func (a *arena) BlockSize() int64 { return a.i.table.block }
func (a *arena) Base() int64      { return 0 }
func (a *arena) Blocks() int64    { return a.i.table.inUse() }

func (a *arena) Slots() int64 {
	t := a.i.table
	return max(0, (t.length-t.dataAt+t.stride()-1)/t.stride())
}

func (a *arena) Slot(block int64) int64 {
	if e := atomic.LoadUint32(&a.i.table.slots[block]); e <= lastSlot {
		return int64(e)
	}
	return -1
}

func (a *arena) Drop(block int64) error {
	a.i.table.drop(block)
	a.changed()
	return nil
}

// Move copies the block. A slot so far behind the number of blocks that it cannot be noted gives an error that wraps [disk.ErrFull].
func (a *arena) Move(block, slot int64) error {
	if err := a.i.table.move(block, slot); err != nil {
		return fmt.Errorf("%s: move a block: %w", a.Name(), err)
	}
	a.changed()
	return nil
}

func (a *arena) changed() {
	a.i.arranged = true
	a.i.store.Wrote()
}

// Flush also notes where the last slot in use is, which the next Flush stores if it is not where it was.
func (a *arena) Flush() error {
	if err := a.i.Flush(); err != nil {
		return err
	}
	t := a.i.table
	top := t.top
	if t.release(); t.top != top {
		t.count = true
		a.i.store.Wrote()
	}
	return nil
}

func (a *arena) Trim() error {
	if err := a.Flush(); err != nil {
		return err
	}
	err := a.i.Flush() // the count
	if err == nil {
		err = a.i.table.cut(0)
	}
	if err == nil {
		a.i.table.opened = a.i.table.length
		err = a.i.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("%s: cut off free room: %w", a.Name(), err)
	}
	return nil
}

// drop takes a block out of the map, at the next Collect in the file as well. Its slot is free after release.
func (t *table) drop(block int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.slots[block]; e <= lastSlot {
		t.freed = append(t.freed, int64(e))
		t.set(block, entryFree)
	}
}

// reach makes the file hold a slot. Called with mu held.
func (t *table) reach(slot int64) error {
	if slot >= t.blocks+overhang {
		return fmt.Errorf("%s: %w", t.file.Name(), disk.ErrFull)
	}
	if end := t.end(slot + 1); end > t.length {
		if err := t.file.Truncate(end); err != nil {
			return err
		}
		t.length = end
	}
	return nil
}
