package vmdk

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/claims"
)

// Check compares each sparse extent's directories and tables with each other and with the file.
func Check(path string, o disk.OpenOptions) (*disk.Report, error) {
	o.ReadOnly = true
	i := &Image{flat: map[string]disk.File{}}
	defer i.closeAll()
	file, err := o.Open(path)
	if err != nil {
		return nil, err
	}
	i.adopt(file)
	h, size, err := i.readDescriptor(file)
	if err != nil {
		return nil, err
	}
	r := &disk.Report{Format: "vmdk"}
	i.checkDescriptor(r, h)
	if h != nil {
		return r, checkExtent(r, file, h, size, o)
	}
	for n, e := range i.descriptor.Extents {
		if !e.sparse() || e.Access == NoAccess {
			continue
		}
		if err := checkExtentFile(r, filepath.Dir(path), e, o); err != nil {
			return nil, fmt.Errorf("%s: extent %d: %w", path, n+1, err)
		}
	}
	return r, nil
}

// checkDescriptor adds what is wrong with the descriptor, which lies in an extent with header h or, if that is nil, by itself.
func (i *Image) checkDescriptor(r *disk.Report, h *header) {
	add := func(what string) {
		r.Add(disk.Problem{Severity: disk.Repairable, File: i.descriptorIn.Name(), Offset: i.descriptorAt, What: what})
	}
	if i.copyAt > 0 {
		add("the descriptor was being rewritten; a copy of it is whole")
	}
	if e := i.descriptor.Extents[0]; h != nil && e.Sectors != h.capacity {
		add(fmt.Sprintf("the descriptor says %d sectors, the extent's header %d", e.Sectors, h.capacity))
	}
}

func checkExtentFile(r *disk.Report, folder string, e Extent, o disk.OpenOptions) error {
	file, err := o.OpenBeside(folder, e.Name, true)
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return err
	}
	var magic [8]byte
	if err := disk.ReadFull(file, magic[:], 0, "header"); err != nil {
		return err
	}
	if string(magic[:]) == seMagic {
		return checkSE(r, file, size)
	}
	h, err := readHeader(file, size)
	if err != nil {
		return err
	}
	return checkExtent(r, file, h, size, o)
}

// checkSE adds what is wrong with the tables of an SEsparse extent.
func checkSE(r *disk.Report, file disk.File, size int64) error {
	s, err := openSE(file, size)
	if err != nil {
		return err
	}
	r.Total += (s.capacity + seGrain - 1) / seGrain
	r.BlockSize = seGrain * sectorSize
	for i := range int64(len(s.gd)) {
		t, err := s.table(i)
		var broken *disk.FormatError
		if errors.As(err, &broken) {
			r.Add(disk.Problem{Severity: disk.Damage, File: file.Name(), Offset: broken.Offset, What: broken.Reason})
		} else if err != nil {
			return err
		}
		for _, e := range t {
			if e>>60 == seAllocated {
				r.Allocated++
			}
		}
	}
	return nil
}

// checkExtent adds what is wrong with one extent to r.
func checkExtent(r *disk.Report, file disk.File, h *header, size int64, o disk.OpenOptions) error {
	s, err := openSparse(file, h, size, o.Log())
	if err != nil {
		return err
	}
	grains := (h.capacity + h.grain - 1) / h.grain
	r.Total += grains
	r.BlockSize = h.grain * sectorSize
	if h.unclean {
		r.Add(disk.Problem{Severity: disk.Repairable, File: file.Name(), Offset: uncleanAt, What: "the last writer did not close the extent"})
	}
	var broken *disk.FormatError
	if errors.As(s.damaged, &broken) {
		r.Add(disk.Problem{Severity: disk.Repairable, File: file.Name(), Offset: broken.Offset, What: broken.Reason})
	} else if s.damaged != nil {
		return s.damaged
	}
	c := newExtentCheck(s)
	defer c.release()
	if h.compressed {
		return c.checkStream(r)
	}
	allocated, last := int64(0), s.meta[len(s.meta)-1].end
	for i := range s.entries() {
		t, err := c.table(r, i)
		if err != nil {
			return err
		}
		for _, e := range t[:min(c.inDisk(i), int64(len(t)))] {
			if e > zeroGrain {
				allocated++
				last = max(last, int64(e)*sectorSize+s.grainBytes())
			}
		}
	}
	r.Allocated += allocated
	used, err := c.slots()
	if err != nil {
		return err
	}
	if leaked := max(size>>s.shift, used.last+1) - used.count; leaked > 0 && c.unreadable == 0 {
		leaked <<= s.shift
		r.Leaked += leaked
		r.Add(disk.Problem{Severity: disk.Leak, File: file.Name(), Offset: -1, What: fmt.Sprintf("%d bytes of the file belong to no grain", leaked)})
	}
	return claims.Overlaps(r, file.Name(), h.grain, last/sectorSize, func(yield func(uint32)) error {
		return c.eachGrain(yield)
	})
}

// slots finds the parts of the file that are in use.
func (c *extentCheck) slots() (*slots, error) {
	used := newSlots(c.shift)
	used.mark(0, c.reserved())
	for _, m := range c.meta {
		used.mark(m.start, m.end)
	}
	if c.entries() == 0 { // directories of a disk of no size take no room, but their places must lie in the file
		for _, d := range []int64{c.header.gd, c.header.redundantGD} {
			if d > 0 {
				used.mark(d*sectorSize-1, d*sectorSize)
			}
		}
	}
	return used, c.eachGrain(func(e uint32) { used.mark(int64(e)*sectorSize, int64(e)*sectorSize+c.grainBytes()) })
}

// reserved is how much of the file's start is not for grains, whether tables are there or not.
func (s *sparse) reserved() int64 {
	// Programs align the first grain to 1 MiB at most.
	return min(s.overhead*sectorSize, s.meta[len(s.meta)-1].end+1<<20, s.length)
}

// extentCheck reads an extent's tables in passing.
type extentCheck struct {
	*sparse
	scans  [2]*scanner // of each directory's tables, which are apart
	tables [2]grainTable
	// unreadable counts the tables of which no copy makes sense, as far as eachGrain came across them.
	unreadable int
	broken     bool // the table asked for last is one
}

func newExtentCheck(s *sparse) *extentCheck {
	c := &extentCheck{sparse: s}
	for n := range c.scans {
		c.scans[n], c.tables[n] = newScanner(s.file, s.length), make(grainTable, s.tableEntries)
	}
	return c
}

// release gives the memory back.
func (c *extentCheck) release() {
	for _, s := range c.scans {
		s.release()
	}
}

// table reads both copies of table i and returns the one to believe, nil if there is none, until the next call. What is wrong
// goes into r unless that is nil.
func (c *extentCheck) table(r *disk.Report, i int64) (grainTable, error) {
	first, broken1, err := c.copied(0, c.gd, i)
	if err != nil {
		return nil, err
	}
	second, broken2, err := c.copied(1, c.rgd, i)
	if err != nil {
		return nil, err
	}
	if r != nil {
		c.judge(r, i, first, second, broken1, broken2)
	}
	c.broken = broken1 != nil && (broken2 != nil || c.rgd == nil || c.rgd[i] == 0) || broken2 != nil && c.gd[i] == 0
	if broken1 != nil || c.gd[i] == 0 {
		return second, nil
	}
	return first, nil
}

// judge adds what is wrong with the copies of table i, which are broken or not.
func (c *extentCheck) judge(r *disk.Report, i int64, first, second grainTable, broken1, broken2 *disk.FormatError) {
	if c.rgd != nil && (c.gd[i] == 0) != (c.rgd[i] == 0) {
		r.Add(disk.Problem{Severity: disk.Repairable, File: c.file.Name(), Offset: -1, What: fmt.Sprintf("only one of two directories has grain table %d", i)})
	}
	sound1, sound2 := broken1 == nil && c.gd[i] != 0, broken2 == nil && c.rgd != nil && c.rgd[i] != 0
	severity := disk.Damage
	if sound1 || sound2 {
		severity = disk.Repairable
	}
	for _, broken := range []*disk.FormatError{broken1, broken2} {
		if broken != nil {
			r.Add(disk.Problem{Severity: severity, File: c.file.Name(), Offset: broken.Offset, What: broken.Reason})
		}
	}
	if sound1 && sound2 {
		c.compare(r, first, second, i)
	}
}

// compare adds the entries in which the copies of table i differ. Nil is a table of zeroes.
func (c *extentCheck) compare(r *disk.Report, first, second grainTable, i int64) {
	if first == nil && second == nil {
		return
	}
	entry := func(t grainTable, k int64) uint32 {
		if t == nil {
			return 0
		}
		return t[k]
	}
	for k := range c.tableEntries {
		if a, b := entry(first, k), entry(second, k); a != b {
			r.Add(disk.Problem{
				Severity: disk.Repairable, File: c.file.Name(), Offset: int64(c.rgd[i])*sectorSize + k*4,
				What: fmt.Sprintf("the redundant entry of grain %d is %d, the first %d", i*c.tableEntries+k, b, a),
			})
		}
	}
}

// copied reads table i of directory n, which may be nil, and tells a broken rule from a failure to read.
func (c *extentCheck) copied(n int, d directory, i int64) (grainTable, *disk.FormatError, error) {
	if d == nil || d[i] == 0 {
		return nil, nil, nil
	}
	t, err := c.parseTable(c.scans[n], c.tables[n], d[i], i)
	var broken *disk.FormatError
	if errors.As(err, &broken) {
		return nil, broken, nil
	}
	return t, nil, err
}

// eachGrain calls yield with the place of each stored grain. Tables that cannot be believed are left out.
func (c *extentCheck) eachGrain(yield func(uint32)) error {
	for i := range c.entries() {
		t, err := c.table(nil, i)
		if err != nil {
			return err
		}
		if c.broken {
			c.unreadable++
		}
		for _, e := range t[:min(c.inDisk(i), int64(len(t)))] {
			if e > zeroGrain {
				yield(e)
			}
		}
	}
	return nil
}
