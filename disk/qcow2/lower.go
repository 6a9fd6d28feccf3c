package qcow2

import (
	"bytes"
	"fmt"
	"slices"
)

// maxLowered is how many tables are moved at a time.
const maxLowered = 1 << 16

// lowerTables gives L2 tables and refcount blocks that lie behind all else new places before it, as far as there are any, and gives up refcount
// blocks that count nothing. All counts are in the file. Called with mu held.
func (t *table) lowerTables() error {
	l2, blocks, err := t.lastTables()
	if err != nil {
		return err
	}
	for _, b := range blocks {
		empty, err := t.refs.empty(b)
		if err == nil && empty {
			t.refs.giveUp(b)
		}
		if err != nil {
			return err
		}
	}
	for _, i := range l2 {
		if free, err := t.refs.free(); err != nil || free >= host(t.l1[i])>>t.clusterBits {
			return err
		}
		if err := t.renew(i); err != nil {
			return err
		}
	}
	for _, b := range blocks {
		if t.refs.table[b] == 0 {
			continue
		}
		if free, err := t.refs.free(); err != nil || free >= t.refs.table[b]>>t.clusterBits {
			return err
		}
		if err := t.refs.renewBlock(b); err != nil {
			return err
		}
	}
	return nil
}

// lastTables returns the numbers of the L2 tables and refcount blocks behind which nothing else lies, the first ones first.
func (t *table) lastTables() (l2, blocks []int64, err error) {
	r := t.refs
	last := r.fresh
	tables := 0
	for c := r.fresh - 1; c > 0 && tables < maxLowered; c-- {
		n, err := r.get(c)
		if err != nil {
			return nil, nil, err
		}
		if n == 0 {
			continue
		}
		if !r.meta.has(c) || r.fixed(c) {
			break
		}
		last = c
		tables++
	}
	for i, e := range t.l1 {
		if host(e)>>t.clusterBits >= last {
			l2 = append(l2, int64(i))
		}
	}
	for b, at := range r.table {
		if at>>r.clusterBits >= last {
			blocks = append(blocks, int64(b))
		}
	}
	slices.SortFunc(l2, func(a, b int64) int { return int((host(t.l1[a]) - host(t.l1[b])) >> t.clusterBits) })
	slices.SortFunc(blocks, func(a, b int64) int { return int((r.table[a] - r.table[b]) >> r.clusterBits) })
	return l2, blocks, nil
}

// fixed says whether a cluster is of the header, the L1 table or the refcount table.
func (r *refcounts) fixed(c int64) bool {
	l1, refs := r.l1At>>r.clusterBits, r.at>>r.clusterBits
	return c == 0 || c >= l1 && c < l1+r.clustersFor(r.l1Entries*8) || c >= refs && c < refs+r.refClusters
}

// take counts a reference to a cluster that is free. Refcount blocks that this takes go behind it and everything else.
func (r *refcounts) take(c int64) error {
	n, err := r.get(c)
	if err != nil {
		return err
	}
	if n != 0 {
		return fmt.Errorf("the cluster at byte %d is in use, or was since the last flush", c<<r.clusterBits)
	}
	if err := r.extend(c + 1); err != nil {
		return err
	}
	defer func(cursor int64) { r.cursor = cursor }(r.cursor)
	r.fresh = max(r.fresh, c+1)
	r.cursor = r.fresh
	return r.count(c)
}

// empty says whether a block counts nothing, itself aside.
func (r *refcounts) empty(b int64) (bool, error) {
	own := r.table[b] >> r.clusterBits
	for c := b * r.perBlock(); c < (b+1)*r.perBlock(); c += r.perPiece() {
		p, err := r.piece(c)
		if err != nil {
			return false, err
		}
		if own >= c && own < c+r.perPiece() {
			p = bytes.Clone(p)
			putCount(p, r.refOrder, own-c, 0)
		}
		if !allZero(p) {
			return false, nil
		}
	}
	return true, nil
}

// giveUp takes an empty block out of the refcount table.
func (r *refcounts) giveUp(b int64) {
	if own := r.table[b] >> r.clusterBits; own/r.perBlock() != b {
		r.freed = append(r.freed, own)
	}
	r.disown(b)
}

// disown takes a block out of the refcount table, so that nothing counts what it was for.
func (r *refcounts) disown(b int64) {
	r.last.p = nil
	for c := b * r.perBlock(); c < (b+1)*r.perBlock(); c += r.perPiece() {
		delete(r.pieces, c/r.perPiece())
		delete(r.dirty, c/r.perPiece())
	}
	r.table[b] = 0
	r.dirtyTable[b/(sectorSize/8)] = true
}

// renewBlock gives a refcount block a new place.
func (r *refcounts) renewBlock(b int64) error {
	c, _, err := r.allocZero(1)
	if err != nil {
		return err
	}
	for k := b * r.perBlock(); k < (b+1)*r.perBlock(); k += r.perPiece() {
		if _, err := r.piece(k); err != nil {
			r.forget(c, 1)
			return err
		}
		r.dirty[k/r.perPiece()] = true
	}
	r.freed = append(r.freed, r.table[b]>>r.clusterBits)
	r.table[b] = c << r.clusterBits
	r.dirtyTable[b/(sectorSize/8)] = true
	r.meta.add(c)
	return nil
}
