package qcow2

import (
	"fmt"
	"math"

	"github.com/sharevm/vmm/disk"
)

// Check follows all pointers of the file, those of its snapshots included, and compares what it finds with the refcounts. It does
// not look at parents.
func Check(path string, o disk.OpenOptions) (*disk.Report, error) {
	o.ReadOnly = true
	file, err := o.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	length, err := file.Size()
	if err != nil {
		return nil, err
	}
	h, err := readHeader(file, length)
	if err != nil {
		return nil, err
	}
	refs := newRefcounts(file, h, length)
	c := newCheck(file, refs)
	if _, err := refs.read(nil, c.brokenBlock); err != nil {
		return nil, err
	}
	if err := c.run(file, length); err != nil {
		return nil, err
	}
	c.marks()
	return c.report, nil
}

func newCheck(file disk.File, refs *refcounts) *check {
	h := refs.header
	return &check{
		report: &disk.Report{Format: "qcow2", Total: h.clusters(), BlockSize: h.clusterSize()},
		header: h, name: file.Name(), refs: refs, census: newCensus(refs.fresh),
	}
}

type check struct {
	*header
	report *disk.Report
	name   string
	refs   *refcounts
	census *census
	err    error
	// overlapped are refcount blocks in clusters that something else uses, if refs knows where its blocks are.
	overlapped []int64
}

func (c *check) add(s disk.Severity, at int64, format string, args ...any) {
	c.report.Add(disk.Problem{Severity: s, File: c.name, Offset: at, What: fmt.Sprintf(format, args...)})
}

// brokenBlock reports a refcount block that is not there. All that it would say can be counted.
func (c *check) brokenBlock(_, field int64, what string) { c.add(disk.Repairable, field, "%s", what) }

// marks adds what the header says of the last writer. After a dirty close refcounts may be anything, and are made anew.
func (c *check) marks() {
	if c.incompat&incompatCorrupt != 0 {
		if worst, _ := c.report.Worst(); worst == disk.Damage {
			c.add(disk.Damage, incompatAt, "the last program to write the disk found it damaged")
		} else {
			c.add(disk.Repairable, incompatAt, "the last program to write the disk found it damaged, but nothing of its contents is")
		}
	}
	if c.incompat&incompatDirty != 0 {
		c.add(disk.Repairable, incompatAt, "the last program to write the disk did not close it")
	}
}

// run goes through the file by windows of clusters. What is not about counts is reported in the first.
func (c *check) run(file disk.File, length int64) error {
	w := walker{header: c.header, length: length, visit: c.visit, broken: func(field int64, what string) {
		if c.census.from == 0 {
			c.add(disk.Damage, field, "%s", what)
		}
	}}
	all := c.refs.fresh
	if err := c.census.windows(w, file, all, maxWalked, c.compare); err != nil {
		return err
	}
	err := c.refs.beyond(all, func(int64) error { c.report.Leaked += c.clusterSize(); return nil })
	if err != nil {
		return err
	}
	if c.report.Leaked > 0 {
		c.add(disk.Leak, -1, "%d bytes of the file belong to nothing, but are counted as used", c.report.Leaked)
	}
	return c.err
}

func (c *check) visit(r reference) {
	if shared := c.census.add(r); shared >= 0 {
		c.add(disk.Damage, r.field, "what this points at uses the cluster at byte %d, as something else does", shared<<c.clusterBits)
	}
	if c.census.from == 0 && r.leaf && r.tree == treeDisk {
		c.report.Allocated++
	}
	if r.tree == treeDisk && r.entry&flagCompressed == 0 {
		c.copied(r)
	}
}

// copied checks the flag that allows writing in place against the refcount.
func (c *check) copied(r reference) {
	if r.first < c.census.from || r.first >= c.census.from+int64(len(c.census.counts)) {
		return
	}
	n, err := c.refs.get(r.first)
	if err != nil {
		c.err = err
		return
	}
	if flag := r.entry&flagCopied != 0; flag != (n == 1) {
		c.add(disk.Repairable, r.field, "the flag for writing in place is %t, but the refcount is %d", flag, n)
	}
}

// compare compares the counts of the window with the refcounts.
func (c *check) compare() error {
	for i, found := range c.census.counts {
		cluster := c.census.from + int64(i)
		n, err := c.refs.get(cluster)
		if err != nil {
			return err
		}
		if found > 1 && c.refs.meta != nil && c.refs.meta.has(cluster) {
			c.overlapped = append(c.overlapped, cluster)
		}
		switch {
		case found == math.MaxUint16 || n == uint64(found):
		case n > uint64(found):
			c.report.Leaked += c.clusterSize()
		default:
			c.add(disk.Repairable, cluster<<c.clusterBits, "the refcount of this cluster is %d, but there are %d references to it", n, found)
		}
	}
	return nil
}
