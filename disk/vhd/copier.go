package vhd

import (
	"maps"
	"slices"
	"sync/atomic"
)

// maxClean bounds how many blocks are remembered as clean.
const maxClean = 64 << 10

// placed is room for a block of a differencing disk that the table does not show yet.
type placed struct {
	entry  uint32
	soiled bool // it need not read as zeroes any more
}

// Unit implements [mapped.Copier]: each sector has its bit.
func (t *table) Unit() int64 { return sectorSize }

// Place implements [mapped.Copier].
func (t *table) Place(off, length int64) (host, n int64, err error) {
	block, in := off>>t.shift, off&(t.blockSize-1)
	n = min(length, t.blockSize-in)
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.bat[block]; e != unused {
		b, err := t.bitmap(block, e)
		if err != nil {
			return 0, 0, err
		}
		t.bits[block] = b // it stays in memory until Adopt
		host = t.data(e) + in
		if !t.clean[block] {
			err = t.file.Zero(host, n, true)
		}
		return host, n, err
	}
	p, again := t.pending[block]
	if !again {
		if p.entry, err = t.place(); err != nil {
			return 0, 0, err
		}
		t.pending[block] = p
	} else if p.soiled {
		err = t.file.Zero(t.data(p.entry)+in, n, true)
	}
	return t.data(p.entry) + in, n, err
}

// Adopt implements [mapped.Copier].
func (t *table) Adopt(off, n, _ int64) {
	block, in := off>>t.shift, off&(t.blockSize-1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, fresh := t.pending[block]; fresh {
		delete(t.pending, block)
		b := make(bitmap, t.bitmapSize())
		b.set((t.size-block<<t.shift+sectorSize-1)/sectorSize, t.blockSize/sectorSize) // what is beyond the disk
		t.bits[block] = b
		t.fresh = append(t.fresh, uint32(block))
		if len(t.clean) >= maxClean {
			clear(t.clean)
		}
		t.clean[block] = !p.soiled
		atomic.StoreUint32(&t.bat[block], p.entry)
	}
	b := t.bits[block]
	b.set(in/sectorSize, (in+n)/sectorSize)
	if b.full(t.blockSize / sectorSize) {
		t.setFull(block)
		delete(t.clean, block)
	}
}

// Forget implements [mapped.Copier].
func (t *table) Forget(off, _, _ int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.clean, off>>t.shift)
	if p, ok := t.pending[off>>t.shift]; ok {
		p.soiled = true
		t.pending[off>>t.shift] = p
	}
}

// takeBits moves the changed bitmaps to taken, where they are found while they are being written.
func (t *table) takeBits() {
	t.taken.bits = t.bits
	t.bits = map[int64]bitmap{}
}

// restoreBits takes them back.
func (t *table) restoreBits() { maps.Copy(t.bits, t.taken.bits) }

// forget drops what memory holds of a block that is not stored any more. Called with mu held.
func (t *table) forget(block int64) {
	is := func(b uint32) bool { return int64(b) == block }
	t.fresh = slices.DeleteFunc(t.fresh, is)
	t.filled = slices.DeleteFunc(t.filled, is)
	delete(t.bits, block)
	delete(t.taken.bits, block)
	delete(t.clean, block)
	t.cache.drop(block)
}
