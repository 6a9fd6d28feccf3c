package vdi

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/mapped"
)

// Entries of the map that are no slots.
const (
	entryFree = 0xffffffff // never written
	entryZero = 0xfffffffe // reads as zeroes
	lastSlot  = 0xfffffffd
)

const (
	// growStep is by how much a growing file is extended, so that few syncs have to store a new length. It is cut off again at Close.
	growStep = 16 << 20
	// scanStep is how much of the map is read at a time.
	scanStep = 64 << 10
	// overhang is by how many slots a map may exceed the number of blocks, as it does while the map of a full disk grows into its first slots.
	overhang = 32 << 10
	// entriesPerSector is how many entries are written at a time.
	entriesPerSector = sectorSize / 4
)

// table is the block map, whole in memory.
type table struct {
	*header
	file  disk.File
	shift uint
	slots []uint32 // by block; read and written atomically, written under mu

	mu     sync.Mutex
	used   []uint64 // a bit per slot
	next   int64    // no slot before this one is free
	top    int64    // all slots in use are before this one
	fresh  int64    // from this slot on the file was never used, and reads as zeroes
	length int64    // of the file
	opened int64    // the same at Open
	count  bool     // the header's count has to be written
	freed  []int64  // slots that blocks left, but not in the file's map yet
	dirty  map[int64]bool
	taken  struct {
		count bool
		dirty map[int64]bool // sectors of the map
	}
}

// readTable reads the map of a file of length bytes, without looking at its entries.
func readTable(file disk.File, h *header, length int64) (*table, error) {
	t := &table{
		header: h, file: file, shift: uint(bits.TrailingZeros64(uint64(h.block))), slots: make([]uint32, h.blocks),
		used:   make([]uint64, (h.blocks+overhang+63)/64),
		length: length, opened: length, dirty: map[int64]bool{},
	}
	t.fresh = max(0, (length-h.dataAt+h.stride()-1)/h.stride())
	var p [scanStep]byte
	for i := int64(0); i < h.blocks; i += scanStep / 4 {
		n := min(h.blocks-i, scanStep/4)
		if err := disk.ReadFull(file, p[:n*4], h.mapAt+i*4, "block map"); err != nil {
			return nil, err
		}
		for k := range n {
			t.slots[i+k] = binary.LittleEndian.Uint32(p[k*4:])
		}
	}
	return t, nil
}

// inUse is the number of blocks that hold part of the disk; the map may be longer.
func (t *table) inUse() int64 { return (t.size + t.block - 1) >> t.shift }

// misplaced says what is wrong with the slot of a block, or returns "".
func (t *table) misplaced(block int64, e uint32) string {
	if e > lastSlot {
		return ""
	}
	if int64(e) >= t.blocks+overhang {
		return fmt.Sprintf("block %d lies in slot %d, and there are only %d blocks", block, e, t.blocks)
	}
	start := t.slot(int64(e))
	if end := start + max(0, min(t.block, t.size-block<<t.shift)); end > t.length {
		return fmt.Sprintf("block %d lies at bytes %d to %d, beyond the end of the file (%d)", block, start, end, t.length)
	}
	return ""
}

// validate checks that each block lies in the file, in a slot that there can be.
func (t *table) validate() error {
	for i, e := range t.slots {
		if reason := t.misplaced(int64(i), e); reason != "" {
			return disk.Corrupt(t.file.Name(), t.mapAt+int64(i)*4, "%s", reason)
		}
	}
	return nil
}

// claim notes which slots are in use, each by one block only.
func (t *table) claim() error {
	for i, e := range t.slots {
		if e > lastSlot {
			continue
		}
		if !t.take(int64(e)) {
			return disk.Corrupt(t.file.Name(), t.mapAt+int64(i)*4, "block %d shares slot %d with another block", i, e)
		}
	}
	return nil
}

// take marks a slot as used, unless it is already.
func (t *table) take(slot int64) bool {
	if t.used[slot/64]>>(slot%64)&1 != 0 {
		return false
	}
	t.used[slot/64] |= 1 << (slot % 64)
	t.top = max(t.top, slot+1)
	return true
}

// gap returns the first free slot. Called with mu held.
func (t *table) gap() int64 {
	for t.next < int64(len(t.used))*64 && t.used[t.next/64]>>(t.next%64)&1 != 0 {
		t.next++
	}
	return t.next
}

// Find implements [mapped.Table].
func (t *table) Find(off, length int64) (host, n int64, err error) {
	block, in := off>>t.shift, off&(t.block-1)
	host, n = t.place(block), t.block-in
	if host >= 0 {
		host += in
	}
	for n < length {
		next := t.place((off + n) >> t.shift)
		if host >= 0 && next != host+n || host < 0 && next != host {
			break
		}
		n += t.block
	}
	return host, min(n, length), nil
}

func (t *table) place(block int64) int64 {
	switch e := atomic.LoadUint32(&t.slots[block]); e {
	case entryFree:
		return mapped.Hole
	case entryZero:
		return mapped.Zero
	default:
		return t.slot(int64(e))
	}
}

// Allocate implements [mapped.Table].
func (t *table) Allocate(off, length int64) (host, n int64, err error) {
	block, in := off>>t.shift, off&(t.block-1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if host, err = t.allocate(block); err != nil {
		return 0, 0, err
	}
	host += in
	for n = t.block - in; n < length && t.gap() < t.blocks && t.extra == 0 && t.slots[block+1] > lastSlot && t.slot(t.gap()) == host+n; n += t.block {
		block++
		if _, err := t.allocate(block); err != nil {
			break // no room: the next call reports it
		}
	}
	return host, min(n, length), nil
}

// allocate returns where a block is, after finding it a slot if it has none. Called with mu held.
func (t *table) allocate(block int64) (int64, error) {
	if e := t.slots[block]; e <= lastSlot {
		return t.slot(int64(e)), nil
	}
	slot := t.gap()
	if slot >= t.blocks {
		return 0, fmt.Errorf("%s: %w", t.file.Name(), disk.ErrFull)
	}
	if err := t.clear(slot); err != nil {
		return 0, err
	}
	t.take(slot)
	t.set(block, uint32(slot))
	t.count = true
	return t.slot(slot), nil
}

// set changes an entry. Called with mu held.
func (t *table) set(block int64, e uint32) {
	atomic.StoreUint32(&t.slots[block], e)
	t.dirty[block/entriesPerSector] = true
}

// clear makes the file hold a slot, and zeroes there. Called with mu held.
func (t *table) clear(slot int64) error {
	if end := t.end(slot + 1); end > t.length {
		length := max(end, t.length+growStep)
		if err := t.file.Truncate(length); err != nil {
			return err
		}
		t.length = length
	}
	if slot < t.fresh { // what a writer left that did not come to note the block
		return t.file.Zero(t.end(slot), t.stride(), true)
	}
	t.fresh = slot + 1
	return nil
}

// trim cuts off what clear took in advance.
func (t *table) trim() error { return t.cut(t.opened) }

// cut ends the file behind the last slot in use, or at byte least if that is further.
func (t *table) cut(least int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	length := max(least, t.end(t.top))
	if t.length <= length {
		return nil
	}
	t.length, t.fresh = length, min(t.fresh, t.top)
	return t.file.Truncate(length)
}

// Collect implements [mapped.Table]: the count of slots with the data, then the map.
func (t *table) Collect() []mapped.Stage {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken.count, t.taken.dirty = t.count, t.dirty
	t.count, t.dirty = false, map[int64]bool{}
	stages := []mapped.Stage{nil}
	if t.taken.count {
		t.allocated = t.top
		stages[0] = mapped.Stage{{Off: allocatedAt, Data: binary.LittleEndian.AppendUint32(nil, uint32(t.top))}}
	}
	var second mapped.Stage
	for _, sector := range slices.Sorted(maps.Keys(t.taken.dirty)) {
		first := sector * entriesPerSector
		p := make([]byte, 0, sectorSize)
		for _, e := range t.slots[first:min(t.blocks, first+entriesPerSector)] {
			p = binary.LittleEndian.AppendUint32(p, e)
		}
		second = append(second, mapped.Patch{Off: t.mapAt + first*4, Data: p})
	}
	if len(second) > 0 {
		stages = append(stages, second)
	}
	return stages
}

// Restore implements [mapped.Table].
func (t *table) Restore([]mapped.Stage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count = t.count || t.taken.count
	maps.Copy(t.dirty, t.taken.dirty)
}
