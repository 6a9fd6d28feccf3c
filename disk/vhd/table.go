package vhd

import (
	"bytes"
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

const (
	unused = 0xffffffff // block allocation table entry of a block that is not there
	// dataAlign is where the data of new blocks starts, so that the guest's 4 KiB blocks are the host's.
	dataAlign = 4096
)

// table is a dynamic disk's block allocation table, whole in memory (4 bytes per block), and the sector bitmaps of blocks that are not
// entirely present.
type table struct {
	file   disk.File
	footer *footer
	header
	shift uint
	size  int64 // of the disk

	bat  []uint32        // file sectors; read and written atomically, written under mu
	full []atomic.Uint64 // a bit per block: all its sectors are present

	mu      sync.Mutex
	next    int64            // where the next block may go: the footer's place
	grown   bool             // the footer has to be written there
	dirty   map[int64]bool   // sectors of the table to be written, by their first byte
	fresh   []uint32         // blocks placed since the last Collect
	filled  []uint32         // blocks whose bitmaps became full since then
	pending map[int64]placed // room for blocks that the table does not show yet
	clean   map[int64]bool   // blocks of which what is not marked reads as zeroes in the file
	bits    map[int64]bitmap // bitmaps that differ from the file, of a disk with a parent
	taken   struct {
		grown         bool
		dirty         map[int64]bool
		fresh, filled []uint32
		bits          map[int64]bitmap
	}
	cache bitmapCache
}

// readTable reads the table without looking at its entries.
func readTable(file disk.File, l location, h header) (*table, error) {
	t := &table{
		file: file, footer: l.footer, header: h, size: int64(l.footer.capacity()), next: l.end(), dirty: map[int64]bool{},
		shift: uint(bits.TrailingZeros64(uint64(h.blockSize))),
		full:  make([]atomic.Uint64, (h.entries+63)/64), pending: map[int64]placed{}, clean: map[int64]bool{}, bits: map[int64]bitmap{},
	}
	raw := make([]byte, h.entries*4)
	if err := disk.ReadFull(file, raw, h.tableOffset, "block allocation table"); err != nil {
		return nil, err
	}
	t.bat = make([]uint32, h.entries)
	for i := range t.bat {
		t.bat[i] = binary.BigEndian.Uint32(raw[i*4:])
	}
	return t, nil
}

// blocks is the number of blocks that hold part of the disk; the table may be longer.
func (t *table) blocks() int64 { return (t.size + t.blockSize - 1) >> t.shift }

// validate checks that each block lies in the file, behind the headers.
func (t *table) validate(fileSize int64) error {
	for i := range t.blocks() {
		if t.bat[i] == unused {
			continue
		}
		if reason := t.misplaced(i, fileSize); reason != "" {
			return disk.Corrupt(t.file.Name(), t.tableOffset+i*4, "%s", reason)
		}
	}
	return nil
}

// misplaced says what is wrong with the place of allocated block i, or returns "".
func (t *table) misplaced(i, fileSize int64) string {
	start := int64(t.bat[i]) * sectorSize
	end := start + t.bitmapSize() + min(t.blockSize, t.size-i<<t.shift)
	switch {
	case end > fileSize:
		return fmt.Sprintf("block %d lies at bytes %d to %d, beyond the end of the file (%d)", i, start, end, fileSize)
	case t.overTables(start, end):
		return fmt.Sprintf("block %d at byte %d overlaps the disk's tables", i, start)
	}
	return ""
}

// overTables says whether [start, end) of the file touches the copy of the footer, the header, the table or a parent locator.
func (t *table) overTables(start, end int64) bool {
	return start < footerSize || slices.ContainsFunc(t.tables(), func(a area) bool { return overlap(start, end, a.start, a.end) })
}

func overlap(start, end, start2, end2 int64) bool { return start < end2 && start2 < end }

// data is the file offset of the data of a block placed at table entry e.
func (t *table) data(e uint32) int64 { return int64(e)*sectorSize + t.bitmapSize() }

func (t *table) isFull(block int64) bool { return t.full[block/64].Load()>>(block%64)&1 != 0 }
func (t *table) setFull(block int64)     { t.full[block/64].Or(1 << (block % 64)) }

// Find implements [mapped.Table].
func (t *table) Find(off, length int64) (host, n int64, err error) {
	block, in := off>>t.shift, off&(t.blockSize-1)
	n = min(length, t.blockSize-in)
	e := atomic.LoadUint32(&t.bat[block])
	if e == unused {
		for n < length && atomic.LoadUint32(&t.bat[(off+n)>>t.shift]) == unused {
			n = min(length, n+t.blockSize)
		}
		return mapped.Hole, n, nil
	}
	if t.isFull(block) {
		return t.data(e) + in, n, nil
	}
	return t.findSectors(block, e, in, n)
}

// findSectors is Find in a block that may lack sectors: those whose bit is clear read as zeroes.
func (t *table) findSectors(block int64, e uint32, in, n int64) (int64, int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	bitmap, err := t.bitmap(block, e)
	if err != nil {
		return 0, 0, err
	}
	if bitmap == nil {
		return t.data(e) + in, n, nil
	}
	sector := in / sectorSize
	present := bitmap.has(sector)
	for sector++; sector*sectorSize < in+n && bitmap.has(sector) == present; sector++ {
	}
	n = min(n, sector*sectorSize-in)
	if !present {
		return mapped.Hole, n, nil
	}
	return t.data(e) + in, n, nil
}

// bitmap returns the sector bitmap of a block, or nil if it is full, which is remembered. Called with mu held.
func (t *table) bitmap(block int64, e uint32) (bitmap, error) {
	if t.isFull(block) {
		return nil, nil
	}
	for _, b := range []bitmap{t.bits[block], t.taken.bits[block], t.cache.get(block)} {
		if b != nil {
			return b, nil
		}
	}
	b := make(bitmap, t.bitmapSize())
	if err := disk.ReadFull(t.file, b, int64(e)*sectorSize, "sector bitmap"); err != nil {
		return nil, err
	}
	if b.full(t.blockSize / sectorSize) {
		t.setFull(block)
		return nil, nil
	}
	t.cache.put(block, b)
	return b, nil
}

// Allocate implements [mapped.Table].
func (t *table) Allocate(off, length int64) (host, n int64, err error) {
	block, in := off>>t.shift, off&(t.blockSize-1)
	n = min(length, t.blockSize-in)
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.bat[block]
	if e == unused {
		if e, err = t.place(); err != nil {
			return 0, 0, err
		}
		t.setFull(block)
		atomic.StoreUint32(&t.bat[block], e)
		t.fresh = append(t.fresh, uint32(block))
	} else if err := t.fill(block, e); err != nil {
		return 0, 0, err
	}
	return t.data(e) + in, n, nil
}

// place makes room for a block at the end of the file and returns its table entry. What was there, the footer,
// will be under the bitmap. Called with mu held.
func (t *table) place() (uint32, error) {
	at := t.align(t.next)
	if at/sectorSize >= unused {
		return 0, fmt.Errorf("%s: %w", t.file.Name(), disk.ErrFull)
	}
	end := at + t.stride()
	if err := t.file.Truncate(end); err != nil {
		return 0, err
	}
	t.next = end
	return uint32(at / sectorSize), nil
}

// align returns the first place from off on where a block may start.
func (t *table) align(off int64) int64 {
	return (off+t.bitmapSize()+dataAlign-1)/dataAlign*dataAlign - t.bitmapSize()
}

// fill zeroes the sectors that a block lacks, so that all of it is present and may be written. Called with mu held.
func (t *table) fill(block int64, e uint32) error {
	b, err := t.bitmap(block, e)
	if b == nil || err != nil {
		return err
	}
	if err := t.clearMissing(block, b); err != nil {
		return err
	}
	t.setFull(block)
	t.cache.drop(block)
	t.filled = append(t.filled, uint32(block))
	return nil
}

// clearMissing zeroes the sectors of a block that its bitmap says are missing.
func (t *table) clearMissing(block int64, b bitmap) error {
	sectors := t.blockSize / sectorSize
	for s := int64(0); s < sectors; s++ {
		start := s
		for s < sectors && !b.has(s) {
			s++
		}
		if s == start {
			continue
		}
		if err := t.file.Zero(t.data(t.bat[block])+start*sectorSize, (s-start)*sectorSize, true); err != nil {
			return err
		}
	}
	return nil
}

// Collect implements [mapped.Table]: new blocks' bitmaps and the footer behind them go with the data, then the table.
func (t *table) Collect() []mapped.Stage {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken.fresh, t.taken.filled, t.taken.dirty, t.taken.grown = t.fresh, t.filled, t.dirty, t.grown
	t.fresh, t.filled, t.dirty, t.grown = nil, nil, map[int64]bool{}, false
	t.takeBits()

	var first, second mapped.Stage
	ones := bytes.Repeat([]byte{0xff}, int(t.bitmapSize()))
	fresh := map[int64]bool{}
	for _, b := range t.taken.fresh {
		fresh[int64(b)] = true
		p := mapped.Patch{Off: int64(t.bat[b]) * sectorSize, Data: ones}
		if partial := t.taken.bits[int64(b)]; partial != nil {
			p.Data = slices.Clone(partial)
		}
		first = append(first, p)
		t.taken.dirty[tableSector(int64(b))] = true
	}
	for _, at := range slices.Sorted(maps.Keys(t.taken.dirty)) {
		second = append(second, mapped.Patch{Off: t.tableOffset + at, Data: t.encode(at)})
	}
	for _, b := range t.taken.filled {
		second = append(second, mapped.Patch{Off: int64(t.bat[b]) * sectorSize, Data: ones})
	}
	for b, changed := range t.taken.bits {
		if !fresh[b] {
			second = append(second, mapped.Patch{Off: int64(t.bat[b]) * sectorSize, Data: slices.Clone(changed)})
		}
	}
	if len(first) > 0 || t.taken.grown {
		first = append(first, mapped.Patch{Off: t.next, Data: t.footer[:]})
	}
	if len(second) == 0 {
		return []mapped.Stage{first}
	}
	return []mapped.Stage{first, second}
}

// tableSector is the byte of the table at which the sector with a block's entry starts.
func tableSector(block int64) int64 { return block * 4 / sectorSize * sectorSize }

// touch has the next Collect write a block's entry. Called with mu held.
func (t *table) touch(block int64) { t.dirty[tableSector(block)] = true }

// encode returns the sector of the table that starts at its byte at.
func (t *table) encode(at int64) []byte {
	entries := t.bat[at/4 : min(int64(len(t.bat)), (at+sectorSize)/4)]
	p := make([]byte, 0, sectorSize)
	for _, e := range entries {
		p = binary.BigEndian.AppendUint32(p, e)
	}
	return p
}

// Restore implements [mapped.Table].
func (t *table) Restore([]mapped.Stage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fresh = append(t.taken.fresh, t.fresh...)
	t.filled = append(t.taken.filled, t.filled...)
	t.grown = t.grown || t.taken.grown
	maps.Copy(t.dirty, t.taken.dirty)
	t.restoreBits()
}
