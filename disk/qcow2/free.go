package qcow2

import (
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// growStep is by how much a growing file is extended, so that few syncs have to store a new length. It is cut off again at Close.
const growStep = 16 << 20

// alloc finds up to n free clusters in one run, and counts a reference to each.
func (r *refcounts) alloc(n int64) (first, got int64, err error) {
	for {
		if first, err = r.free(); err != nil {
			return 0, 0, err
		}
		if r.covered(first) {
			break
		}
		if err := r.addBlock(first / r.perBlock()); err != nil {
			return 0, 0, err
		}
	}
	if err := r.extend(first + n); err != nil {
		return 0, 0, err
	}
	for got < n && r.covered(first+got) {
		if c, err := r.get(first + got); err != nil || c != 0 || r.meta.has(first+got) {
			break // the caller has some already; an error comes back with the next call
		}
		if err := r.set(first+got, 1); err != nil {
			break
		}
		got++
	}
	r.cursor = first + got
	r.fresh = max(r.fresh, r.cursor)
	return first, got, nil
}

// allocZero is alloc of clusters that read as zeroes.
func (r *refcounts) allocZero(n int64) (first, got int64, err error) {
	fresh := r.fresh
	if first, got, err = r.alloc(n); err != nil {
		return 0, 0, err
	}
	if err := r.zero(first, got, fresh); err != nil {
		r.forget(first, got)
		return 0, 0, err
	}
	return first, got, nil
}

// zero makes those of n clusters that lie before fresh read as zeroes.
func (r *refcounts) zero(first, n, fresh int64) error {
	if n = min(n, fresh-first); n <= 0 {
		return nil
	}
	return r.file.Zero(first<<r.clusterBits, n<<r.clusterBits, true)
}

// forget takes back clusters that were allocated since the last Collect.
func (r *refcounts) forget(first, n int64) {
	for c := first; c < first+n; c++ {
		if err := r.set(c, 0); err != nil {
			return // its piece is dirty, and so in memory: this cannot fail
		}
	}
	r.cursor = min(r.cursor, first)
}

// free returns the first free cluster.
func (r *refcounts) free() (int64, error) {
	for c := r.cursor; ; c++ {
		if r.meta.has(c) {
			continue
		}
		if n, err := r.get(c); err != nil {
			return 0, err
		} else if n == 0 {
			r.cursor = c
			return c, nil
		}
	}
}

// extend makes the file hold all clusters before end.
func (r *refcounts) extend(end int64) error {
	if end <<= r.clusterBits; end > r.length.Load() {
		length := max(end, r.length.Load()+growStep)
		if err := r.file.Truncate(length); err != nil {
			return err
		}
		r.length.Store(length)
	}
	return nil
}

// wholeClusters makes the file end where a cluster does.
func (r *refcounts) wholeClusters() error {
	end := r.clustersFor(r.length.Load()) << r.clusterBits
	if end == r.length.Load() {
		return nil
	}
	if err := r.file.Truncate(end); err != nil {
		return err
	}
	r.length.Store(end)
	return nil
}

// trim cuts off what extend took in advance.
func (r *refcounts) trim() error {
	length := max(r.opened, r.fresh<<r.clusterBits)
	if r.length.Load() <= length {
		return nil
	}
	r.length.Store(length)
	return r.file.Truncate(length)
}

// cutEnd has the file end behind the last cluster that is counted. All counts are in the file.
func (r *refcounts) cutEnd() error {
	end := r.fresh
	for ; end > 1; end-- {
		if n, err := r.get(end - 1); err != nil {
			return err
		} else if n > 0 {
			break
		}
	}
	r.fresh, r.opened = end, end<<r.clusterBits
	return r.trim()
}

// addBlock makes the refcount block b, which counts itself if the first free cluster is among those it is for.
func (r *refcounts) addBlock(b int64) error {
	if b >= int64(len(r.table)) {
		if err := r.grow(b); err != nil {
			return err
		}
		if r.table[b] != 0 {
			return nil
		}
	}
	c, err := r.free()
	if err != nil {
		return err
	}
	if err := r.extend(c + 1); err != nil {
		return err
	}
	if err := r.zero(c, 1, r.fresh); err != nil {
		return err
	}
	r.cursor = c + 1
	r.fresh = max(r.fresh, r.cursor)
	r.table[b] = c << r.clusterBits
	r.dirtyTable[b/(sectorSize/8)] = true
	r.meta.add(c)
	return r.count(c)
}

// count counts the one reference to a cluster that was taken from what no block counted.
func (r *refcounts) count(cluster int64) error {
	if !r.covered(cluster) {
		if err := r.addBlock(cluster / r.perBlock()); err != nil {
			return err
		}
	}
	return r.set(cluster, 1)
}

// grow moves the refcount table to a place where it has an entry for block b, and room for more.
func (r *refcounts) grow(b int64) error {
	n := r.clustersFor((b + 1) * 8 * 3 / 2)
	if n<<r.clusterBits > maxRefTableBytes {
		return fmt.Errorf("%s: %w", r.file.Name(), disk.ErrFull)
	}
	// Nothing counts the clusters behind the old table's last block, so that all of them are free.
	first, err := r.reserve(n, int64(len(r.table))*r.perBlock())
	if err != nil {
		return err
	}
	for c := range int64(len(r.table)) * 8 >> r.clusterBits {
		r.freed = append(r.freed, r.at>>r.clusterBits+c)
	}
	r.table = append(r.table, make([]int64, n<<r.clusterBits/8-int64(len(r.table)))...)
	r.at, r.moved = first<<r.clusterBits, true
	r.refTableAt, r.refClusters = r.at, n
	return r.countAll(first, n)
}

// reserve keeps n clusters in one run for a table, behind all that is in use and not before cluster from. They read as zeroes, and are not counted yet.
func (r *refcounts) reserve(n, from int64) (first int64, err error) {
	first = max(r.cursor, from, r.fresh)
	for c := first; c < first+n; c++ {
		if r.meta.has(c) {
			first = c + 1
		}
	}
	if err := r.extend(first + n); err != nil {
		return 0, err
	}
	r.fresh = max(r.fresh, first+n)
	for c := first; c < first+n; c++ {
		r.meta.add(c)
	}
	return first, nil
}

// countAll is count for n clusters.
func (r *refcounts) countAll(first, n int64) error {
	for c := first; c < first+n; c++ {
		if err := r.count(c); err != nil {
			return err
		}
	}
	return nil
}

// release counts down what lost a reference before the last flush, and gives the space of what nobody refers to any more back to the host.
func (r *refcounts) release() {
	for _, c := range r.freeing {
		n, err := r.get(c)
		if err != nil || n == 0 || r.set(c, n-1) != nil || n > 1 {
			continue // an error leaves a leak
		}
		r.cursor = min(r.cursor, c)
		r.file.Discard(c<<r.clusterBits, r.clusterSize()) // a hint
	}
	r.freeing = nil
}
