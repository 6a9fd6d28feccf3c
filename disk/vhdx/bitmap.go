package vhdx

import (
	"math/bits"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/mapped"
)

// maxFresh bounds how many blocks are remembered as fresh.
const maxFresh = 64 << 10

// maxBitmaps bounds the pages of sector bitmaps kept in memory: 4 MiB. Tests make it small.
var maxBitmaps = 1024

// bitmaps is what a table with a parent knows of sectors and of blocks under way. Everything is guarded by table.mu.
type bitmaps struct {
	cached  map[int64]*[pageSize]byte // pages of sector bitmaps by file offset
	changed map[int64]bool            // those that differ from the file
	placed  map[int64]placed          // room for blocks that the table does not show yet
	fresh   map[int64]bool            // blocks of which what is not marked reads as zeroes in the file
}

// placed is room for a block.
type placed struct {
	at     int64
	soiled bool // it need not read as zeroes any more
}

func newBitmaps() bitmaps {
	return bitmaps{cached: map[int64]*[pageSize]byte{}, changed: map[int64]bool{}, placed: map[int64]placed{}, fresh: map[int64]bool{}}
}

// bitmapPage returns the page of a sector bitmap at file offset at.
func (t *table) bitmapPage(at int64) (*[pageSize]byte, error) {
	if p := t.cached[at]; p != nil {
		return p, nil
	}
	if len(t.cached) >= maxBitmaps {
		for old := range t.cached {
			if !t.changed[old] && !t.inFlight[old] {
				delete(t.cached, old)
			}
		}
	}
	p := new([pageSize]byte)
	if err := disk.ReadFull(t.file, p[:], at, "sector bitmap"); err != nil {
		return nil, err
	}
	t.cached[at] = p
	return p, nil
}

// sliceAt is where a block's bits begin in the file. Its chunk's sector bitmap must be there.
func (t *table) sliceAt(block int64) (int64, error) {
	index := t.bitmapIndex(block >> t.ratioShift)
	e, err := t.get(index)
	if err != nil {
		return 0, err
	}
	if !e.stored() {
		return 0, disk.Corrupt(t.file.Name(), t.regions.bat.start+index*8, "block %d is partially present, but its sector bitmap is missing", block)
	}
	return int64(e.offset()) + t.slice(block), nil
}

// run looks at the bits from sector first on, up to sector end, of a block whose bits begin at file offset at. It returns the first one
// and how many in a row are like it.
func (t *table) run(at, first, end int64) (present bool, n int64, err error) {
	for s := first; s < end; {
		page, err := t.bitmapPage((at + s/8) &^ (pageSize - 1))
		if err != nil {
			return false, 0, err
		}
		b := page[(at+s/8)&(pageSize-1)] >> (s % 8)
		if s == first {
			present = b&1 != 0
		}
		if present {
			b = ^b
		}
		// Above the bits that are left of this byte, shifting has put zeroes or, reversed, ones: neither counts.
		like := min(int64(bits.TrailingZeros8(b)), 8-s%8)
		if s += like; like < 8-(s-like)%8 {
			return present, min(s, end) - first, nil
		}
	}
	return present, end - first, nil
}

// findSectors is Find in a partially present block: sectors whose bit is clear are the parent's.
func (t *table) findSectors(block int64, in, n int64) (host, length int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.get(t.index(block))
	if err != nil {
		return 0, 0, err
	}
	if e.state() == fullyPresent { // by now
		return int64(e.offset()) + in, n, nil
	}
	at, err := t.sliceAt(block)
	if err != nil {
		return 0, 0, err
	}
	first := in / t.sector
	present, sectors, err := t.run(at, first, (in+n+t.sector-1)/t.sector)
	if err != nil {
		return 0, 0, err
	}
	n = min(n, (first+sectors)*t.sector-in)
	if !present {
		return mapped.Hole, n, nil
	}
	return int64(e.offset()) + in, n, nil
}

// Unit implements [mapped.Copier].
func (t *table) Unit() int64 { return t.sector }

// Place implements [mapped.Copier].
func (t *table) Place(off, length int64) (host, n int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.place(off, length)
}

// place is Place with mu held. All pages that adopt will change are in memory afterwards, and marked so that they stay.
func (t *table) place(off, length int64) (host, n int64, err error) {
	block, in := off>>t.blockShift, off&(t.blockSize()-1)
	n = min(length, t.blockSize()-in)
	if err := t.openLog(); err != nil {
		return 0, 0, err
	}
	e, err := t.get(t.index(block))
	if err != nil {
		return 0, 0, err
	}
	t.set(t.index(block), e) // no change, but the page stays
	if err := t.prepareBits(block, e, in, n); err != nil {
		return 0, 0, err
	}
	if e.stored() {
		host = int64(e.offset()) + in
		if !t.fresh[block] {
			err = t.file.Zero(host, n, true)
		}
		return host, n, err
	}
	p, ok := t.placed[block]
	if !ok {
		if p.at, err = t.grow(t.blockSize()); err != nil {
			return 0, 0, err
		}
		t.placed[block] = p
	} else if p.soiled {
		err = t.file.Zero(p.at+in, n, true)
	}
	return p.at + in, n, err
}

// prepareBits makes a block's part of the sector bitmap ready, unless all of the block is about to be written.
func (t *table) prepareBits(block int64, e entry, in, n int64) error {
	if e.state() == notPresent && t.whole(block, in, n) {
		return nil
	}
	index := t.bitmapIndex(block >> t.ratioShift)
	b, err := t.get(index)
	if err != nil {
		return err
	}
	if !b.stored() {
		at, err := t.grow(bitmapBlock)
		if err != nil {
			return err
		}
		b = newEntry(fullyPresent, at)
	}
	t.set(index, b)
	at, err := t.sliceAt(block)
	if err != nil {
		return err
	}
	for p := at &^ (pageSize - 1); p < at+t.sliceBytes(); p += pageSize {
		if _, err := t.bitmapPage(p); err != nil {
			return err
		}
		t.changed[p] = true
	}
	return nil
}

// whole says whether n bytes at in of a block are all that the disk has of it.
func (t *table) whole(block, in, n int64) bool {
	return in == 0 && n >= t.within(block)
}

// within is how many bytes of a block the disk has.
func (t *table) within(block int64) int64 { return min(t.blockSize(), t.size-block<<t.blockShift) }

// Adopt implements [mapped.Copier].
func (t *table) Adopt(off, n, host int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.adopt(off, n, host)
}

func (t *table) adopt(off, n, host int64) {
	block, in := off>>t.blockShift, off&(t.blockSize()-1)
	index, at := t.index(block), host-in
	if p, isNew := t.placed[block]; isNew {
		delete(t.placed, block)
		if t.whole(block, in, n) {
			t.set(index, newEntry(fullyPresent, at))
			return
		}
		t.mark(block, 0, t.blockSize()/t.sector, false) // whatever was there
		if len(t.fresh) >= maxFresh {
			clear(t.fresh)
		}
		t.fresh[block] = !p.soiled
	}
	t.mark(block, in/t.sector, (in+n)/t.sector, true)
	state := partiallyPresent
	if t.allMarked(block) {
		state = fullyPresent
		delete(t.fresh, block)
	}
	t.set(index, newEntry(state, at))
}

// mark sets or clears the bits of sectors [first, end) of a block, which prepareBits has brought into memory.
func (t *table) mark(block, first, end int64, present bool) {
	at, err := t.sliceAt(block)
	if err != nil {
		return // cannot be: prepareBits found it
	}
	for s := first; s < end; s++ {
		p := t.cached[(at+s/8)&^(pageSize-1)]
		b := &p[(at+s/8)&(pageSize-1)]
		if present {
			*b |= 1 << (s % 8)
		} else {
			*b &^= 1 << (s % 8)
		}
	}
}

// allMarked says whether the file has all sectors of a block that the disk has.
func (t *table) allMarked(block int64) bool {
	at, err := t.sliceAt(block)
	if err != nil {
		return false
	}
	sectors := t.within(block) / t.sector
	present, n, err := t.run(at, 0, sectors)
	return err == nil && present && n == sectors
}

// Forget implements [mapped.Copier].
func (t *table) Forget(off, _, _ int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	block := off >> t.blockShift
	delete(t.fresh, block)
	if p, ok := t.placed[block]; ok {
		p.soiled = true
		t.placed[block] = p
	}
}

// MarkZero implements [mapped.Zeroer]. A block of which the file has nothing gets the state; of others, sectors are stored as zeroes.
func (t *table) MarkZero(off, n int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n > 0 {
		block, in := off>>t.blockShift, off&(t.blockSize()-1)
		part := min(n, t.blockSize()-in)
		e, err := t.get(t.index(block))
		if err != nil {
			return err
		}
		if e.state() == notPresent && t.whole(block, in, part) {
			if err := t.openLog(); err != nil {
				return err
			}
			delete(t.placed, block)
			t.set(t.index(block), newEntry(zero, 0))
		} else {
			host, m, err := t.place(off, part)
			if err != nil {
				return err
			}
			t.adopt(off, m, host)
		}
		off, n = off+part, n-part
	}
	return nil
}
