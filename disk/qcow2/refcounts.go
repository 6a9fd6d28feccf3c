package qcow2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
)

// refcounts counts the references to each of the file's clusters, and finds free ones. The refcount table is in memory, the blocks
// are read by the piece when needed. Its methods are called with table.mu held.
type refcounts struct {
	*header
	file   disk.File
	meta   *clusters
	length atomic.Int64 // of the file

	table []int64 // where the blocks are, or 0
	at    int64   // of the table in the file
	moved bool    // the header has another place

	pieces map[int64][]byte
	last   struct { // the piece that was asked for last
		id int64
		p  []byte
	}
	dirty      map[int64]bool // pieces
	dirtyTable map[int64]bool // sectors
	taken      struct {
		dirty, dirtyTable map[int64]bool
		moved             bool
	}

	cursor int64 // no cluster before this one is free
	fresh  int64 // from this cluster on the file was never used, and reads as zeroes
	opened int64 // the file's length at Open

	freed   []int64 // clusters that lost a reference in memory
	freeing []int64 // clusters that lose one in the file by the flush under way or done last
}

func newRefcounts(file disk.File, h *header, length int64) *refcounts {
	r := &refcounts{
		header: h, file: file, at: h.refTableAt, fresh: h.clustersFor(length), opened: length,
		pieces: map[int64][]byte{}, dirty: map[int64]bool{}, dirtyTable: map[int64]bool{},
	}
	r.length.Store(length)
	return r
}

// read reads the refcount table and returns runs with its blocks added. An entry that cannot be is an error or, if broken is not nil, reported to
// that and taken for none.
func (r *refcounts) read(runs []run, broken func(b, field int64, what string)) ([]run, error) {
	raw := make([]byte, r.refClusters<<r.clusterBits)
	if err := disk.ReadFull(r.file, raw, r.at, "refcount table"); err != nil {
		return nil, err
	}
	r.table = make([]int64, len(raw)/8)
	for i := range r.table {
		e := int64(binary.BigEndian.Uint64(raw[i*8:]))
		if e == 0 {
			continue
		}
		if !r.wholeCluster(e, r.length.Load()) {
			what := fmt.Sprintf("refcount block %d at byte %d is not a whole cluster of the file", i, e)
			if broken == nil {
				return nil, disk.Corrupt(r.file.Name(), r.at+int64(i)*8, "%s", what)
			}
			broken(int64(i), r.at+int64(i)*8, what)
			continue
		}
		r.table[i] = e
		runs = append(runs, run{e >> r.clusterBits, 1, "refcount block"})
	}
	return runs, nil
}

// pieceSize is the bytes of a piece, perPiece the clusters that it counts.
func (r *refcounts) pieceSize() int64 { return min(r.clusterSize(), 1<<pieceBits) }
func (r *refcounts) perPiece() int64  { return r.pieceSize() * 8 >> r.refOrder }

// covered says whether a block counts a cluster.
func (r *refcounts) covered(cluster int64) bool {
	b := cluster / r.perBlock()
	return b < int64(len(r.table)) && r.table[b] != 0
}

// pieceAt is where a piece of a block that exists is in the file.
func (r *refcounts) pieceAt(id int64) int64 {
	perBlock := r.clusterSize() / r.pieceSize()
	return r.table[id/perBlock] + id%perBlock*r.pieceSize()
}

// piece returns the piece that counts a cluster, or nil if there is none.
func (r *refcounts) piece(cluster int64) ([]byte, error) {
	id := cluster / r.perPiece()
	if r.last.p != nil && r.last.id == id {
		return r.last.p, nil
	}
	if p := r.pieces[id]; p != nil {
		r.last.id, r.last.p = id, p
		return p, nil
	}
	if !r.covered(cluster) {
		return nil, nil
	}
	p := make([]byte, r.pieceSize())
	if err := disk.ReadFull(r.file, p, r.pieceAt(id), "refcount block"); err != nil {
		return nil, err
	}
	if int64(len(r.pieces)) >= cachedBytes/r.pieceSize() {
		r.evict()
	}
	r.pieces[id] = p
	return p, nil
}

// evict forgets all pieces that the file holds as they are.
func (r *refcounts) evict() {
	r.last.p = nil
	for id := range r.pieces {
		if !r.dirty[id] && !r.taken.dirty[id] {
			delete(r.pieces, id)
		}
	}
}

// get returns a cluster's refcount.
func (r *refcounts) get(cluster int64) (uint64, error) {
	p, err := r.piece(cluster)
	if p == nil || err != nil {
		return 0, err
	}
	return getCount(p, r.refOrder, cluster%r.perPiece()), nil
}

// set changes the refcount of a cluster that a block counts.
func (r *refcounts) set(cluster int64, n uint64) error {
	p, err := r.piece(cluster)
	if err != nil {
		return err
	}
	putCount(p, r.refOrder, cluster%r.perPiece(), n)
	r.dirty[cluster/r.perPiece()] = true
	return nil
}

// beyond calls fn with all clusters from end on that are counted as used. A crash can leave such, behind the end of the file.
func (r *refcounts) beyond(end int64, fn func(cluster int64) error) error {
	pieces := r.clusterSize() / r.pieceSize()
	read := int64(0)
	for b := end / r.perBlock(); b < int64(len(r.table)); b++ {
		if r.table[b] == 0 {
			continue
		}
		if read += r.clusterSize(); read > maxWalked {
			return disk.Unsupported(r.file.Name(), r.at, "refcount blocks of more than %d GiB behind the end of the file", maxWalked>>30)
		}
		for id := b * pieces; id < (b+1)*pieces; id++ {
			p, err := r.piece(id * r.perPiece())
			if err != nil {
				return err
			}
			if allZero(p) {
				continue
			}
			for k := max(0, end-id*r.perPiece()); k < r.perPiece(); k++ {
				if getCount(p, r.refOrder, k) == 0 {
					continue
				}
				if err := fn(id*r.perPiece() + k); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func allZero(p []byte) bool { return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1]) }

// getCount reads the kth refcount of 2^order bits in p. Those of less than a byte start at the lowest bit.
func getCount(p []byte, order uint, k int64) uint64 {
	switch order {
	case 3:
		return uint64(p[k])
	case 4:
		return uint64(binary.BigEndian.Uint16(p[k*2:]))
	case 5:
		return uint64(binary.BigEndian.Uint32(p[k*4:]))
	case 6:
		return binary.BigEndian.Uint64(p[k*8:])
	}
	bit := k << order
	return uint64(p[bit/8] >> (bit % 8) & (1<<(1<<order) - 1))
}

// putCount writes what getCount reads.
func putCount(p []byte, order uint, k int64, n uint64) {
	switch order {
	case 3:
		p[k] = byte(n)
	case 4:
		binary.BigEndian.PutUint16(p[k*2:], uint16(n))
	case 5:
		binary.BigEndian.PutUint32(p[k*4:], uint32(n))
	case 6:
		binary.BigEndian.PutUint64(p[k*8:], n)
	default:
		bit, mask := k<<order, byte(1<<(1<<order)-1)
		p[bit/8] = p[bit/8]&^(mask<<(bit%8)) | byte(n)&mask<<(bit%8)
	}
}
