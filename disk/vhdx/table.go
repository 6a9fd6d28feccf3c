package vhdx

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/mapped"
)

const (
	// surveyed bounds how much of the table Open looks at, in bytes: a few milliseconds, all of a disk of 64 TiB in usual blocks.
	surveyed = 16 << 20
	// maxRun bounds how many entries Find looks at.
	maxRun = entriesPerPage
)

// maxPages bounds the pages of the table kept in memory, other than empty ones: 8 MiB, for 32 TiB of usual blocks. Tests make it small.
var maxPages = 2048

// page is a page of metadata and its place in the file.
type page struct {
	off  int64
	data []byte
}

// batPage is a page of the table in memory. Entries are read and written atomically, written under table.mu.
type batPage [entriesPerPage]uint64

// emptyPage stands for all pages without entries, of which large disks have many. It is never written to.
var emptyPage batPage

// table is the block allocation table. Its pages are read when they are first needed.
type table struct {
	layout
	file    disk.File
	session *session
	regions *regions
	pages   []atomic.Pointer[batPage]

	mu     sync.Mutex
	loaded int            // pages in memory, empty ones apart
	raw    [pageSize]byte // as page reads it
	next   int64          // file offset of the next new block
	length int64          // of the file
	end    int64          // of the last block or region as survey found it, or 0
	dirty  map[int64]bool // pages of the table that differ from the file
	room
	bitmaps
	publishing
}

func newTable(file disk.File, l layout, s *session, r *regions, fileSize int64) (*table, error) {
	entries := l.entries()
	if entries*8 > r.bat.end-r.bat.start {
		return nil, disk.Corrupt(file.Name(), r.bat.start, "a block allocation table of %d bytes is too short for %d entries", r.bat.end-r.bat.start, entries)
	}
	return &table{
		layout: l, file: file, session: s, regions: r,
		pages: make([]atomic.Pointer[batPage], (entries+entriesPerPage-1)/entriesPerPage),
		next:  (fileSize + mib - 1) &^ (mib - 1), length: fileSize,
		dirty: map[int64]bool{}, bitmaps: newBitmaps(),
	}, nil
}

// survey checks the first pages, so that a truncated file is refused before a machine runs on it, without keeping them.
// If that was the whole table, it knows then where the last block ends.
func (t *table) survey() error {
	end := t.regions.all[len(t.regions.all)-1].end
	err := t.scan(min(t.entries(), surveyed/8), func(index int64, e entry) error {
		if reason := t.misplaced(index, e, t.length, t.regions); reason != "" {
			return disk.Corrupt(t.file.Name(), t.regions.bat.start+index*8, "%s", reason)
		}
		if e.stored() && !t.stray(index) {
			end = max(end, int64(e.offset())+t.sizeOf(index))
		}
		return nil
	})
	if t.entries() <= surveyed/8 {
		t.end = end
	}
	return err
}

// scan calls fn for those of the first n entries that are not zero, as the file has them.
func (t *table) scan(n int64, fn func(index int64, e entry) error) error {
	return t.pieces(n, func(index int64, p []byte) error {
		for ; len(p) > 0; index, p = index+1, p[8:] {
			e := entry(binary.LittleEndian.Uint64(p))
			if e == 0 {
				continue
			}
			if err := fn(index, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// pieces calls fn for pieces of the first n entries, as the file has them.
func (t *table) pieces(n int64, fn func(first int64, p []byte) error) error {
	const step = 128 * kib / 8
	p := make([]byte, min(n, step)*8)
	for first := int64(0); first < n; first += step {
		p = p[:min(step, n-first)*8]
		if err := disk.ReadFull(t.file, p, t.regions.bat.start+first*8, "block allocation table"); err != nil {
			return err
		}
		if err := fn(first, p); err != nil {
			return err
		}
	}
	return nil
}

// load returns an entry of the table.
func (t *table) load(index int64) (entry, error) {
	if p := t.pages[index/entriesPerPage].Load(); p != nil {
		return entry(atomic.LoadUint64(&p[index%entriesPerPage])), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.get(index)
}

// page returns page n of the table, reading it if need be. Called with mu held.
func (t *table) page(n int64) (*batPage, error) {
	if p := t.pages[n].Load(); p != nil {
		return p, nil
	}
	first := n * entriesPerPage
	count := min(entriesPerPage, t.entries()-first)
	raw := t.raw[:count*8]
	if err := disk.ReadFull(t.file, raw, t.regions.bat.start+first*8, "block allocation table"); err != nil {
		return nil, err
	}
	if isZero(raw) {
		t.pages[n].Store(&emptyPage)
		return &emptyPage, nil
	}
	p := &batPage{}
	for k := range count {
		e := entry(binary.LittleEndian.Uint64(raw[k*8:]))
		if reason := t.misplaced(first+k, e, t.length, t.regions); reason != "" {
			return nil, disk.Corrupt(t.file.Name(), t.regions.bat.start+(first+k)*8, "%s", reason)
		}
		p[k] = uint64(e)
	}
	if t.loaded >= maxPages {
		t.evict()
	}
	t.loaded++
	t.pages[n].Store(p)
	return p, nil
}

// evict forgets all pages that the file holds as they are. Readers that still use one see what was true when they started.
func (t *table) evict() {
	for n := range t.pages {
		if p := t.pages[n].Load(); p == nil || p == &emptyPage || t.dirty[int64(n)] || t.inFlight[t.batPageAt(int64(n))] {
			continue
		}
		t.pages[n].Store(nil)
		t.loaded--
	}
}

// isZero says whether p holds nothing else.
func isZero(p []byte) bool {
	for ; len(p) >= 8; p = p[8:] {
		if binary.LittleEndian.Uint64(p) != 0 {
			return false
		}
	}
	return true
}

func (t *table) batPageAt(n int64) int64 { return t.regions.bat.start + n*pageSize }

// get returns an entry. Called with mu held.
func (t *table) get(index int64) (entry, error) {
	p, err := t.page(index / entriesPerPage)
	if err != nil {
		return 0, err
	}
	return entry(p[index%entriesPerPage]), nil
}

// set changes an entry whose page is in memory. Called with mu held and the log open.
func (t *table) set(index int64, e entry) {
	p := t.pages[index/entriesPerPage].Load()
	if p == &emptyPage {
		p = &batPage{}
		t.loaded++
		t.pages[index/entriesPerPage].Store(p)
	}
	atomic.StoreUint64(&p[index%entriesPerPage], uint64(e))
	t.dirty[index/entriesPerPage] = true
}

// Find implements [mapped.Table].
func (t *table) Find(off, length int64) (host, n int64, err error) {
	block, in := off>>t.blockShift, off&(t.blockSize()-1)
	e, err := t.load(t.index(block))
	if err != nil {
		return 0, 0, err
	}
	n = min(length, t.blockSize()-in)
	if e.state() == partiallyPresent {
		return t.findSectors(block, in, n)
	}
	// The answer often goes on in the next blocks.
	for k := int64(1); n < length && k < maxRun; k++ {
		next, err := t.load(t.index(block + k))
		if err != nil {
			break // whoever goes there is told
		}
		if next.state() != e.state() || e.stored() && next.offset() != e.offset()+uint64(k)<<t.blockShift {
			break
		}
		n = min(length, n+t.blockSize())
	}
	switch {
	case e.stored():
		return int64(e.offset()) + in, n, nil
	case e.state() == notPresent:
		return mapped.Hole, n, nil
	}
	return mapped.Zero, n, nil
}

// Allocate implements [mapped.Table].
func (t *table) Allocate(off, length int64) (host, n int64, err error) {
	block, in := off>>t.blockShift, off&(t.blockSize()-1)
	n = min(length, t.blockSize()-in)
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.get(t.index(block))
	if err != nil {
		return 0, 0, err
	}
	if e.state() == fullyPresent {
		return int64(e.offset()) + in, n, nil
	}
	at, err := t.grow(t.blockSize())
	if err != nil {
		return 0, 0, err
	}
	t.set(t.index(block), newEntry(fullyPresent, at))
	return at + in, n, nil
}
