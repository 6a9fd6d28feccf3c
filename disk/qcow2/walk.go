package qcow2

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/disk"
)

const (
	// surveyed bounds how much of the L2 tables Open looks at, in bytes: a few milliseconds, all of a disk of 128 GiB.
	surveyed = 16 << 20
	// maxWalked bounds how much of the tables is read to count references, in bytes: snapshots of a hostile file can share them endlessly.
	maxWalked = 256 << 30
)

// The trees of tables that a walk visits: what the header leads to, the disk, then the snapshots.
const (
	treeMeta = iota
	treeDisk
	treeSnapshots
)

// reference is one pointer from one part of the file to others.
type reference struct {
	tree  int
	field int64  // byte in the file where the pointer is
	entry uint64 // of an L1 or L2 table, or 0
	leaf  bool   // it is an L2 table's
	first int64  // cluster
	n     int64  // clusters
}

// walker visits everything in the file that something refers to.
type walker struct {
	*header
	file   disk.File
	length int64
	budget *int64 // bytes that may still be read
	visit  func(reference)
	// broken is told of pointers that lead nowhere.
	broken func(field int64, what string)
	l2     []byte
}

// walk visits the whole file.
func (w *walker) walk() error {
	w.meta(0, 0, 1)
	w.meta(refTableAt, w.refTableAt, w.refClusters<<w.clusterBits)
	err := w.array(w.refTableAt, w.refClusters<<w.clusterBits/8, "refcount table", func(field int64, e uint64) error {
		if w.wholeCluster(int64(e), w.length) { // what cannot be is for the refcounts to say
			w.meta(field, int64(e), w.clusterSize())
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.tree(treeDisk, 40, w.l1At, w.l1Entries); err != nil {
		return err
	}
	if w.snapshots > 0 {
		if err := w.eachSnapshot(); err != nil {
			return err
		}
	}
	return w.dirtyBitmaps()
}

func (w *walker) eachSnapshot() error {
	tree := treeSnapshots
	end, err := eachSnapshot(w.file, w.header, func(s snapshot) error {
		tree++
		return w.tree(tree-1, -1, s.l1At, s.l1Entries)
	})
	w.meta(64, w.snapshotsAt, end-w.snapshotsAt)
	return err
}

// meta visits metadata of so many bytes at a byte.
func (w *walker) meta(field, at, n int64) {
	w.visit(reference{tree: treeMeta, field: field, first: at >> w.clusterBits, n: w.clustersFor(n)})
}

// inside says whether at is a cluster of the file, all n bytes of it if it is not 0, and reports it if not.
func (w *walker) inside(field, at, n int64, what string) bool {
	if at > 0 && at%w.clusterSize() == 0 && at < w.length && n <= w.length-at {
		return true
	}
	w.broken(field, fmt.Sprintf("the %s at byte %d is not a cluster of the file (%d bytes)", what, at, w.length))
	return false
}

// array calls fn with the entries of a table, which it reads by the piece.
func (w *walker) array(at, entries int64, what string, fn func(field int64, e uint64) error) error {
	var p [1 << pieceBits]byte
	for entries > 0 {
		n := min(entries, int64(len(p)/8))
		if err := w.read(p[:n*8], at, what); err != nil {
			return err
		}
		for k := range n {
			if err := fn(at+k*8, binary.BigEndian.Uint64(p[k*8:])); err != nil {
				return err
			}
		}
		at, entries = at+n*8, entries-n
	}
	return nil
}

func (w *walker) read(p []byte, at int64, what string) error {
	if *w.budget -= int64(len(p)); *w.budget < 0 {
		return errTooMuch(w.file.Name())
	}
	return disk.ReadFull(w.file, p, at, what)
}

// errTooMuch says that a file's tables are more than anybody would wait for.
func errTooMuch(name string) error {
	return disk.Unsupported(name, -1, "counting all references takes too long: its tables and those of its snapshots, or its length, are too large")
}

// tree visits an L1 table and all below it.
func (w *walker) tree(tree int, field, at, entries int64) error {
	if entries == 0 {
		return nil
	}
	w.meta(field, at, entries*8)
	return w.array(at, entries, "L1 table", func(field int64, e uint64) error {
		if host(e) == 0 || !w.inside(field, host(e), w.clusterSize(), "L2 table") {
			return nil
		}
		w.visit(reference{tree: tree, field: field, entry: e, first: host(e) >> w.clusterBits, n: 1})
		return w.table(tree, host(e))
	})
}

// table visits what an L2 table refers to.
func (w *walker) table(tree int, at int64) error {
	if w.l2 == nil {
		w.l2 = make([]byte, w.clusterSize())
	}
	if err := w.read(w.l2, at, "L2 table"); err != nil {
		return err
	}
	for k := int64(0); k < int64(len(w.l2)); k += 8 {
		e := binary.BigEndian.Uint64(w.l2[k:])
		if e == 0 {
			continue
		}
		first, n := w.span(e)
		if n == 0 || e&flagCompressed == 0 && !w.inside(at+k, host(e), 0, "cluster") {
			continue
		}
		if place, _ := w.packed(e); e&flagCompressed != 0 && (place < w.clusterSize() || place >= w.length) {
			w.broken(at+k, fmt.Sprintf("the compressed cluster at byte %d lies outside the file's data (%d bytes)", place, w.length))
			continue
		}
		w.visit(reference{tree: tree, field: at + k, entry: e, leaf: true, first: first, n: n})
	}
	return nil
}

// dirtyBitmaps visits the bitmaps of changed blocks that backup programs keep: a directory of entries, each with a table of clusters.
func (w *walker) dirtyBitmaps() error {
	b := w.bitmaps
	if b.count == 0 || !w.inside(-1, b.directory, b.bytes, "bitmap directory") {
		return nil
	}
	w.meta(-1, b.directory, b.bytes)
	var p [24]byte
	at := b.directory
	for range b.count {
		if at+int64(len(p)) > b.directory+b.bytes {
			w.broken(at, "the bitmap directory is too short")
			return nil
		}
		if err := w.read(p[:], at, "bitmap directory"); err != nil {
			return err
		}
		table, entries := int64(binary.BigEndian.Uint64(p[:])), int64(binary.BigEndian.Uint32(p[8:]))
		if entries > 0 && w.inside(at, table, entries*8, "bitmap table") {
			w.meta(at, table, entries*8)
			err := w.array(table, entries, "bitmap table", func(field int64, e uint64) error {
				if host(e) != 0 && w.inside(field, host(e), 0, "bitmap") {
					w.meta(field, host(e), w.clusterSize())
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		at += (24 + int64(binary.BigEndian.Uint16(p[18:])) + int64(binary.BigEndian.Uint32(p[20:])) + 7) / 8 * 8
	}
	return nil
}

// survey looks at the first L2 tables, so that a truncated file is refused before a machine runs on it, without keeping them.
func (t *table) survey() error {
	raw, p := make([]byte, t.clusterSize()), make(piece, t.l2Entries())
	for i := range min(t.header.tables(), surveyed/t.clusterSize()) {
		at := host(t.l1[i])
		if at == 0 {
			continue
		}
		if err := disk.ReadFull(t.file, raw, at, "L2 table"); err != nil {
			return err
		}
		for k := range p {
			p[k] = binary.BigEndian.Uint64(raw[k*8:])
		}
		if err := t.validate(p, i<<t.l2Shift, at); err != nil {
			return err
		}
	}
	return nil
}
