package qcow2

import (
	"cmp"
	"slices"
	"sort"

	"github.com/sharevm/vmm/disk"
)

// run is a stretch of the file's clusters.
type run struct {
	first, n int64
	what     string
}

// clusters is the set of the clusters of the file that hold tables: what Open found, sorted and merged, and what was added since.
type clusters struct {
	runs   []run
	before []int64 // how many clusters are in the runs before each
	added  map[int64]bool
}

// newClusters sorts and merges all. Two that overlap would destroy each other on the first write, and are an error.
func newClusters(name string, bits uint, all []run) (*clusters, error) {
	slices.SortFunc(all, func(a, b run) int { return cmp.Compare(a.first, b.first) })
	c := &clusters{added: map[int64]bool{}}
	for _, r := range all {
		if n := len(c.runs); n > 0 && r.first <= c.runs[n-1].first+c.runs[n-1].n {
			last := &c.runs[n-1]
			if r.first < last.first+last.n {
				return nil, disk.Corrupt(name, r.first<<bits, "the %s overlaps the %s", r.what, last.what)
			}
			last.n, last.what = last.n+r.n, r.what
			continue
		}
		c.runs = append(c.runs, r)
	}
	n := int64(0)
	for _, r := range c.runs {
		c.before = append(c.before, n)
		n += r.n
	}
	return c, nil
}

// slot returns how many clusters before this one are not in the set; what was added does not count.
func (c *clusters) slot(cluster int64) int64 {
	k := sort.Search(len(c.runs), func(k int) bool { return c.runs[k].first >= cluster })
	if k == 0 {
		return cluster
	}
	return cluster - c.before[k-1] - min(c.runs[k-1].n, cluster-c.runs[k-1].first)
}

// nth returns the cluster outside the set that has as many others before it.
func (c *clusters) nth(slot int64) int64 {
	k := sort.Search(len(c.runs), func(k int) bool { return c.runs[k].first-c.before[k] > slot })
	if k == 0 {
		return slot
	}
	return slot + c.before[k-1] + c.runs[k-1].n
}

func (c *clusters) has(cluster int64) bool {
	i, _ := slices.BinarySearchFunc(c.runs, cluster, func(r run, at int64) int {
		if r.first+r.n <= at {
			return -1
		}
		return 1
	})
	return i < len(c.runs) && c.runs[i].first <= cluster || c.added[cluster]
}

func (c *clusters) add(cluster int64) { c.added[cluster] = true }
