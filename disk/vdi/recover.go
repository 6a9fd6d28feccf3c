package vdi

import (
	"fmt"
	"math"
	"slices"

	"github.com/sharevm/vmm/disk/internal/relocate"
)

// maxMoved bounds how much is moved into gaps at Open and Close, in bytes. A crash leaves as much as was written since the last flush; gaps beyond
// that are left for new blocks.
const maxMoved = 1 << 30

// recover puts right what a writer left that did not close the disk: the blocks behind slots that nothing refers to move into them, so that the
// count of slots is the number of the next free one, and the file ends where they do. At most budget bytes are moved.
func (i *Image) recover(budget int64) error {
	t := i.table
	if t.gap() == t.top && t.allocated == t.top && t.length <= t.end(t.top) {
		return nil
	}
	i.info.Warnings = append(i.info.Warnings, "the last program to write the disk did not close it")
	i.info.Unclean = true
	return i.tidy(budget)
}

// tidy closes gaps and ends the file behind the last slot in use.
func (i *Image) tidy(budget int64) error {
	if err := i.store.Flush(); err != nil {
		return err
	}
	i.table.release()
	if err := i.closeGaps(budget); err != nil {
		return err
	}
	i.table.opened = i.table.end(i.table.top)
	return i.table.trim()
}

// closeGaps moves the last blocks into the gaps before them: first copies of all, then their entries, then the count.
func (i *Image) closeGaps(budget int64) error {
	t := i.table
	slots := int64(0)
	for _, e := range t.slots {
		if e <= lastSlot {
			slots++
		}
	}
	var behind []uint64 // slots behind what will be the last one, with their blocks
	for block, e := range t.slots {
		if e <= lastSlot && int64(e) >= slots {
			behind = append(behind, uint64(e)<<32|uint64(block))
		}
	}
	if int64(len(behind)) > budget/t.stride() {
		return i.writeCount()
	}
	slices.Sort(behind)
	for _, b := range behind {
		if err := t.move(int64(b&math.MaxUint32), t.gap()); err != nil {
			return err
		}
		i.store.Wrote()
	}
	if err := i.store.Flush(); err != nil {
		return err
	}
	t.release()
	return i.writeCount()
}

// writeCount stores the number of slots in use in the header.
func (i *Image) writeCount() error {
	if i.table.allocated == i.table.top {
		return nil
	}
	i.table.count = true
	i.store.Wrote()
	return i.store.Flush()
}

// move copies a block into a free slot. The one that it leaves is free after release.
func (t *table) move(block, slot int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.reach(slot); err != nil {
		return err
	}
	if !t.take(slot) {
		return fmt.Errorf("slot %d is not free", slot)
	}
	from := int64(t.slots[block])
	if err := relocate.Block(t.file, t.end(from), t.end(slot), t.stride()); err != nil {
		return err
	}
	t.fresh = max(t.fresh, slot+1)
	t.count = true
	t.set(block, uint32(slot))
	t.freed = append(t.freed, from)
	return nil
}

// release makes slots free that blocks have left, also in the file's map.
func (t *table) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, slot := range t.freed {
		t.used[slot/64] &^= 1 << (slot % 64)
		t.next = min(t.next, slot)
	}
	t.freed = nil
	for t.top > 0 && t.used[(t.top-1)/64]>>((t.top-1)%64)&1 == 0 {
		t.top--
	}
}
