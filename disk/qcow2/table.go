package qcow2

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/inflated"
	"github.com/sharevm/vmm/disk/internal/mapped"
)

const (
	// pieceBits is the size in which tables are read, cached and written, where clusters are larger: 512 entries of an L2 table.
	pieceBits = 12
	// cachedBytes bounds the clean pieces of L2 tables in memory, which place 128 GiB in clusters of 64 KiB, and those of refcount blocks.
	cachedBytes = 16 << 20
	// maxPieces bounds the list of pieces: 64 MiB, which serve 256 TiB in clusters of 64 KiB.
	maxPieces = 8 << 20
	// dirtyBytes is how much of the tables may wait for a flush before one is done for that reason.
	dirtyBytes = 8 << 20
)

// piece is a part of an L2 table. Entries are read and written atomically, written under table.mu.
type piece []uint64

// table is the mapping of the disk's clusters. The L1 table is in memory, L2 tables are read by the piece when needed.
type table struct {
	*header
	file     disk.File
	l1       []uint64 // read and written atomically, written under mu
	pieces   []atomic.Pointer[piece]
	l2Shift  uint // of an L2 table in clusters
	shift    uint // of a piece in clusters
	writable bool
	backed   bool // there is a parent
	inflater inflater
	inflated *inflated.Cache

	// reuse is held for reading by Unpack, from looking at an entry until what it places was read, and for writing while
	// clusters become free, because others may be written there from then on.
	reuse sync.RWMutex

	mu      sync.Mutex // taken after reuse
	refs    *refcounts
	loaded  []int64 // pieces in memory
	dirty   map[int64]bool
	dirtyL1 map[int64]bool // sectors
	unsaved atomic.Int64   // bytes of the tables that wait for Collect
	taken   struct{ dirty, dirtyL1 map[int64]bool }
}

// openTable reads the L1 table. With writable the refcount table, too, is read, and both are checked against each other.
func openTable(file disk.File, h *header, length int64, writable bool) (*table, error) {
	t := &table{
		header: h, file: file, writable: writable, inflater: inflater{header: h},
		l2Shift: h.clusterBits - 3, shift: min(h.clusterBits, pieceBits) - 3,
		dirty: map[int64]bool{}, dirtyL1: map[int64]bool{},
	}
	t.inflated = inflated.New(t, h.clusterBits, h.clusters())
	if h.tables()<<t.perTable() > maxPieces {
		return nil, disk.Unsupported(file.Name(), 24, "%d bytes in clusters of %d are more than is supported", h.size, h.clusterSize())
	}
	raw := make([]byte, h.l1Entries*8)
	if err := disk.ReadFull(file, raw, h.l1At, "L1 table"); err != nil {
		return nil, err
	}
	t.l1 = make([]uint64, h.l1Entries)
	t.pieces = make([]atomic.Pointer[piece], h.tables()<<t.perTable())
	for i := range t.l1 {
		t.l1[i] = binary.BigEndian.Uint64(raw[i*8:])
	}
	runs, err := fixedRuns(file, h)
	if err != nil {
		return nil, err
	}
	for i, e := range t.l1 {
		if host(e) == 0 {
			continue
		}
		if host(e)%h.clusterSize() != 0 || host(e) > length-h.clusterSize() {
			return nil, disk.Corrupt(file.Name(), h.l1At+int64(i)*8, "L2 table %d at byte %d is not a whole cluster of the file (%d bytes)", i, host(e), length)
		}
		runs = append(runs, run{host(e) >> h.clusterBits, 1, "L2 table"})
	}
	t.refs = newRefcounts(file, h, length)
	if writable {
		if runs, err = t.refs.read(runs, nil); err != nil {
			return nil, err
		}
	}
	t.refs.meta, err = newClusters(file.Name(), h.clusterBits, runs)
	return t, err
}

// fixedRuns are the tables whose place the header says, and the snapshots' L1 tables.
func fixedRuns(file disk.File, h *header) ([]run, error) {
	runs := []run{
		{0, 1, "header"},
		{h.l1At >> h.clusterBits, h.clustersFor(h.l1Entries * 8), "L1 table"},
		{h.refTableAt >> h.clusterBits, h.refClusters, "refcount table"},
	}
	if h.l1Entries == 0 {
		runs[1].n = 0
	}
	if h.snapshots == 0 {
		return runs, nil
	}
	end, err := eachSnapshot(file, h, func(s snapshot) error {
		if s.l1Entries > 0 {
			runs = append(runs, run{s.l1At >> h.clusterBits, h.clustersFor(s.l1Entries * 8), "L1 table of a snapshot"})
		}
		return nil
	})
	return append(runs, run{h.snapshotsAt >> h.clusterBits, h.clustersFor(end - h.snapshotsAt), "snapshot table"}), err
}

// entries is the number of entries of a piece, and pieceSize its bytes.
func (t *table) entries() int64   { return 1 << t.shift }
func (t *table) pieceSize() int64 { return 8 << t.shift }

// perTable is the shift from a piece's number to that of its L2 table.
func (t *table) perTable() uint { return t.l2Shift - t.shift }

// inMemory returns a piece if it is there.
func (t *table) inMemory(id int64) piece {
	if p := t.pieces[id].Load(); p != nil {
		return *p
	}
	return nil
}

// entry returns the entry of a cluster and for how many clusters from there on it is known to hold, which is more than one
// where there is no L2 table.
func (t *table) entry(cluster int64) (e uint64, n int64, err error) {
	p := t.inMemory(cluster >> t.shift)
	if p == nil {
		if host(atomic.LoadUint64(&t.l1[cluster>>t.l2Shift])) == 0 {
			return 0, 1<<t.l2Shift - cluster&(1<<t.l2Shift-1), nil
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if p, err = t.load(cluster >> t.shift); err != nil {
			return 0, 0, err
		}
	}
	return atomic.LoadUint64(&p[cluster&(t.entries()-1)]), 1, nil
}

// load returns a piece of a table that exists, reading it if need be. Called with mu held.
func (t *table) load(id int64) (piece, error) {
	if p := t.inMemory(id); p != nil {
		return p, nil
	}
	raw := make([]byte, t.pieceSize())
	at := t.pieceAt(id)
	if err := disk.ReadFull(t.file, raw, at, "L2 table"); err != nil {
		return nil, err
	}
	p := make(piece, t.entries())
	for k := range p {
		p[k] = binary.BigEndian.Uint64(raw[k*8:])
	}
	if err := t.validate(p, id<<t.shift, at); err != nil {
		return nil, err
	}
	t.keep(id, p)
	return p, nil
}

// validate checks entries, the first of which is that of a cluster and was at byte at.
func (t *table) validate(p piece, cluster, at int64) error {
	for k, e := range p {
		if e == 0 || cluster+int64(k) >= t.clusters() { // behind the disk's end a snapshot's machine state may lie
			continue
		}
		if reason := t.wrong(e, cluster+int64(k), t.refs.length.Load(), t.refs.meta); reason != "" {
			return disk.Corrupt(t.file.Name(), at+int64(k)*8, "%s", reason)
		}
	}
	return nil
}

// pieceAt is where a piece of a table that exists is in the file.
func (t *table) pieceAt(id int64) int64 {
	return host(t.l1[id>>t.perTable()]) + id&(1<<t.perTable()-1)*t.pieceSize()
}

// keep remembers a piece, dropping others when there are too many. Called with mu held.
func (t *table) keep(id int64, p piece) {
	if int64(len(t.loaded)) >= cachedBytes/t.pieceSize() {
		t.evict()
	}
	t.loaded = append(t.loaded, id)
	t.pieces[id].Store(&p)
}

// evict forgets all pieces that the file holds as they are. Readers that still use one see what was true when they started.
func (t *table) evict() {
	kept := t.loaded[:0]
	for _, id := range t.loaded {
		if t.dirty[id] || t.taken.dirty[id] {
			kept = append(kept, id)
			continue
		}
		t.pieces[id].Store(nil)
	}
	t.loaded = kept
}

// Find implements [mapped.Table].
func (t *table) Find(off, length int64) (at, n int64, err error) {
	cluster, in := off>>t.clusterBits, off&(t.clusterSize()-1)
	end := t.refs.length.Load()
	e, whole, err := t.entry(cluster)
	if err != nil {
		return 0, 0, err
	}
	at, n = t.place(e, end, t.writable), whole<<t.clusterBits-in
	if at >= 0 {
		at += in
	}
	for n < length {
		e, whole, err := t.entry((off + n) >> t.clusterBits)
		if err != nil {
			break // reported when the transfer comes to it
		}
		if next := t.place(e, end, t.writable); at >= 0 && next != at+n || at < 0 && next != at {
			break
		}
		n += whole << t.clusterBits
	}
	return at, min(n, length), nil
}

// Unit implements [mapped.Copier].
func (t *table) Unit() int64 { return t.clusterSize() }

// Unpack implements [mapped.Unpacker].
func (t *table) Unpack(p []byte, off int64) error { return t.inflated.Unpack(p, off) }

// UnpackBlock implements [inflated.Source], for a cluster that another write may meanwhile have given a place of its own.
func (t *table) UnpackBlock(p []byte, off int64) error {
	t.reuse.RLock()
	defer t.reuse.RUnlock()
	cluster, in := off>>t.clusterBits, off&(t.clusterSize()-1)
	if cluster >= t.clusters() {
		clear(p)
		return nil
	}
	e, _, err := t.entry(cluster)
	if err != nil {
		return err
	}
	switch at := t.place(e, 1<<62, false); at {
	case mapped.Packed:
		return t.inflated.Read(p, cluster, e, in)
	case mapped.Zero, mapped.Hole:
		clear(p)
		return nil
	default:
		return readPadded(t.file, p, at+in)
	}
}

// Inflate implements [inflated.Source].
func (t *table) Inflate(p []byte, _ int64, e uint64) error { return t.inflater.inflate(t.file, e, p) }
