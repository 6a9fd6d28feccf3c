package vhdx

import (
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// Check compares headers, region tables and the block allocation table with each other and with the file, as a replay of the log
// would leave it.
func Check(path string, o disk.OpenOptions) (*disk.Report, error) {
	o.ReadOnly = true
	file, err := o.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	c, err := read(file)
	if err != nil {
		return nil, err
	}
	k := &checker{Report: &disk.Report{Format: "vhdx", BlockSize: c.metadata.blockSize}, name: file.Name(), contents: c}
	return k.Report, k.run()
}

// checker is a check under way.
type checker struct {
	*disk.Report
	*contents
	name  string
	t     *table
	used  *occupancy
	first int64 // where the first block lies, or 0
}

func (k *checker) add(s disk.Severity, at int64, format string, args ...any) {
	k.Add(disk.Problem{Severity: s, File: k.name, Offset: at, What: fmt.Sprintf(format, args...)})
}

func (k *checker) run() (err error) {
	for _, p := range k.headers.problems {
		k.add(disk.Repairable, headerAt[1-k.headers.slot], "%s; the other header is sound", p)
	}
	for _, p := range k.regions.problems {
		k.add(disk.Repairable, regionAt[0], "%s", p)
	}
	if k.replay != nil {
		k.add(disk.Repairable, k.headers.logOffset, "the last writer did not close the disk; its log is waiting to be replayed")
	}
	if k.t, err = newTable(k.file, newLayout(k.metadata), nil, k.regions, k.size); err != nil {
		return err
	}
	k.Total, k.used = k.t.blocks(), newOccupancy(k.size)
	for _, g := range k.regions.all {
		k.used.take(g.start, g.end)
	}
	if err := k.t.scan(k.t.entries(), k.entry); err != nil {
		return err
	}
	k.leaks()
	return nil
}

// leaks looks for space that belongs to nothing. Holes between blocks are for the next ones; those in front of the first other programs leave for
// alignment. What a table in disorder refers to nobody can say.
func (k *checker) leaks() {
	if worst, any := k.Worst(); any && worst == disk.Damage {
		return
	}
	end := k.used.end()
	if k.first > 0 {
		head := newOccupancy(k.first)
		for _, g := range k.regions.all {
			head.take(min(g.start, k.first), min(g.end, k.first))
		}
		k.Leaked = max(0, k.size-k.first-(k.used.total()-head.total()))
	}
	if spare := k.size - end; spare >= mib {
		k.add(disk.Leak, end, "%d bytes at the end of the file belong to nothing", spare)
	}
}

// entry looks at one entry of the table.
func (k *checker) entry(index int64, e entry) error {
	at := k.regions.bat.start + index*8
	number, isBitmap := k.t.at(index)
	if reason := k.t.misplaced(index, e, k.size, k.regions); reason != "" {
		k.add(disk.Damage, at, "%s", reason)
		return nil
	}
	if !e.stored() {
		return nil
	}
	if k.t.stray(index) {
		what := "a block behind the end of the disk"
		if isBitmap {
			what = "a sector bitmap, which a disk without a parent has no use for"
		}
		k.add(disk.Repairable, at, "entry %d of the table places %s", index, what)
		return nil
	}
	start := int64(e.offset())
	if k.used.take(start, min(start+k.t.sizeOf(index), k.size&^(mib-1))) {
		k.add(disk.Damage, at, "another block has a part of the place of this one (number %d, byte %d of the file)", number, start)
	}
	if k.first == 0 || start < k.first {
		k.first = start
	}
	if isBitmap {
		return nil
	}
	k.Allocated++
	if e.state() == partiallyPresent {
		b, err := k.t.load(k.t.bitmapIndex(number >> k.t.ratioShift))
		if err == nil && !b.stored() {
			k.add(disk.Damage, at, "block %d is partially present, but its sector bitmap is missing", number)
		}
	}
	return nil
}
