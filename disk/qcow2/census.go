package qcow2

import (
	"math"

	"github.com/sharevm/vmm/disk"
)

// censusWindow is how many clusters of the file are counted together, so that memory stays bounded whatever the file's length.
const censusWindow = 4 << 20

// windowCost is what going through a window takes, in bytes of tables that could be read in that time.
const windowCost = 64 << 20

// census counts the references to the clusters of a window of the file.
type census struct {
	from   int64    // first cluster
	counts []uint16 // references, up to math.MaxUint16 which stands for that or more
	owners []uint16 // the tree that referred to a cluster last, + 1
}

// newCensus returns an empty census of the first window of a file of so many clusters.
func newCensus(all int64) *census {
	n := min(all, censusWindow)
	return &census{counts: make([]uint16, n), owners: make([]uint16, n)}
}

// next moves to the window that starts at from and ends at all at the latest.
func (c *census) next(from, all int64) {
	n := min(all-from, censusWindow)
	c.from, c.counts, c.owners = from, c.counts[:n], c.owners[:n]
	clear(c.counts)
	clear(c.owners)
}

// windows has walk visit the references from a file's tables once for each window of its clusters, all of them together, and hands
// the census to done after each.
func (c *census) windows(w walker, file disk.File, all, budget int64, done func() error) error {
	w.file, w.budget = file, &budget
	for from := int64(0); from == 0 || from < all; from += censusWindow {
		c.next(from, all)
		if budget -= windowCost; budget < 0 {
			return errTooMuch(file.Name())
		}
		if err := w.walk(); err != nil {
			return err
		}
		if err := done(); err != nil {
			return err
		}
	}
	return nil
}

// add counts a reference. It returns the first cluster of it in the window that belonged to the same tree or to metadata already, or to
// a tree while this reference is of metadata; or -1.
func (c *census) add(r reference) int64 {
	shared := int64(-1)
	for k := max(r.first, c.from); k < min(r.first+r.n, c.from+int64(len(c.counts))); k++ {
		i := k - c.from
		if c.counts[i] > 0 && shared < 0 && r.entry&flagCompressed == 0 &&
			(c.owners[i] == treeMeta+1 || r.tree == treeMeta || int(c.owners[i]) == r.tree+1) {
			shared = k
		}
		if c.counts[i] < math.MaxUint16 {
			c.counts[i]++
		}
		c.owners[i] = uint16(min(r.tree+1, math.MaxUint16))
	}
	return shared
}
