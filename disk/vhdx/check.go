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
	used  int64 // bytes of the file that blocks take
	first int64 // where the first of them lies, or 0
	// claimed has a bit for each MiB of the file.
	claimed []uint64
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
	k.Total, k.claimed = k.t.blocks(), make([]uint64, k.size/mib/64+1)
	if err := k.t.scan(k.t.entries(), k.entry); err != nil {
		return err
	}
	k.leaks()
	return nil
}

// leaks looks for space behind the first block that belongs to nothing. What is in front of it other programs leave for alignment.
func (k *checker) leaks() {
	if k.first == 0 {
		return
	}
	spare := k.size - k.first - k.used
	for _, g := range k.regions.all {
		spare -= max(0, g.end-max(g.start, k.first))
	}
	if spare >= mib {
		k.Leaked = spare
		k.add(disk.Leak, -1, "%d bytes of the file belong to no block", spare)
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
	start := int64(e.offset())
	if k.claim(start, min(start+k.t.room(index), k.size&^(mib-1))) {
		k.add(disk.Damage, at, "another block has a part of the place of this one (number %d, byte %d of the file)", number, start)
	}
	k.used += k.t.room(index)
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

// claim notes that [start, end) of the file, whole MiB, belongs to a block, and says whether a part of it did before.
func (k *checker) claim(start, end int64) (taken bool) {
	for n := start / mib; n < end/mib; n++ {
		bit := uint64(1) << (n % 64)
		taken = taken || k.claimed[n/64]&bit != 0
		k.claimed[n/64] |= bit
	}
	return taken
}
