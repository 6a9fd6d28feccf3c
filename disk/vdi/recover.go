package vdi

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sharevm/vmm/disk"
)

// maxMoved bounds how much is moved into gaps at Open, in bytes. A crash leaves as much as was written since the last flush; gaps beyond
// that are left for new blocks.
const maxMoved = 1 << 30

// recover puts right what a writer left that did not close the disk: the blocks behind slots that nothing refers to move into them, so that the
// count of slots is the number of the next free one, and the file ends where they do.
func (i *Image) recover() error {
	t := i.table
	if t.gap() == t.top && t.allocated == t.top && t.length <= t.end(t.top) {
		return nil
	}
	i.info.Warnings = append(i.info.Warnings, "the last program to write the disk did not close it")
	i.info.Unclean = true
	if err := i.closeGaps(); err != nil {
		return fmt.Errorf("%s: recover from a writer that did not close it: %w", i.info.Path, err)
	}
	t.opened = t.end(t.top)
	t.fresh = min(t.fresh, t.top)
	if err := t.trim(); err != nil {
		return fmt.Errorf("%s: recover from a writer that did not close it: %w", i.info.Path, err)
	}
	return nil
}

// closeGaps moves the last blocks into the gaps before them: first copies of all, then their entries, then the count.
func (i *Image) closeGaps() error {
	t := i.table
	owner := map[int64]int64{} // block by slot, of the slots behind what will be the last one
	slots := int64(0)
	for _, e := range t.slots {
		if e <= lastSlot {
			slots++
		}
	}
	for block, e := range t.slots {
		if e <= lastSlot && int64(e) >= slots {
			owner[int64(e)] = int64(block)
		}
		if int64(len(owner))*t.stride() > maxMoved {
			return i.writeCount()
		}
	}
	for _, slot := range slices.Sorted(maps.Keys(owner)) {
		to := t.gap()
		if err := i.move(slot, to); err != nil {
			return err
		}
		t.take(to)
		t.used[slot/64] &^= 1 << (slot % 64)
		t.set(owner[slot], uint32(to))
	}
	t.top = slots
	i.store.Wrote()
	if err := i.store.Flush(); err != nil {
		return err
	}
	return i.writeCount()
}

func (i *Image) writeCount() error {
	i.table.count = true
	i.store.Wrote()
	return i.store.Flush()
}

// move copies a slot, the last of which may end with the disk.
func (i *Image) move(from, to int64) error {
	t := i.table
	src, dst := t.end(from), t.end(to)
	buf := make([]byte, min(t.stride(), 1<<20))
	for left := min(t.stride(), t.length-src); left > 0; {
		p := buf[:min(left, int64(len(buf)))]
		if err := disk.ReadFull(i.file, p, src, "block"); err != nil {
			return err
		}
		if _, err := i.file.WriteAt(p, dst); err != nil {
			return err
		}
		n := int64(len(p))
		src, dst, left = src+n, dst+n, left-n
	}
	return nil
}
