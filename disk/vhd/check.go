package vhd

import (
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/claims"
)

// Check compares the footers, the header and the block allocation table with each other and with the file.
func Check(path string, o disk.OpenOptions) (*disk.Report, error) {
	file, err := o.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	l, err := locate(file)
	if err != nil {
		return nil, err
	}
	c := checker{Report: disk.Report{Format: "vhd"}, file: file, location: l}
	if err := c.check(); err != nil {
		return nil, err
	}
	return &c.Report, nil
}

// checker collects what is wrong with a file.
type checker struct {
	disk.Report
	file disk.File
	location
	table   *table // nil: a fixed disk
	badSum  bool   // the header's checksum is wrong, but all that it says makes sense
	damaged bool   // the table says what cannot be
}

func (c *checker) add(s disk.Severity, at int64, format string, args ...any) {
	c.Add(disk.Problem{Severity: s, File: c.file.Name(), Offset: at, What: fmt.Sprintf(format, args...)})
}

func (c *checker) check() error {
	if c.short() {
		c.add(disk.Repairable, c.footerAt, "the footer has 511 bytes, as programs before Virtual PC 2004 wrote it; not all programs read that")
	}
	switch c.footer.diskType() {
	case typeFixed:
		c.checkFixed()
		return nil
	case typeDynamic, typeDifferencing:
		return c.checkDynamic()
	}
	return disk.Corrupt(c.file.Name(), c.footerAt+60, "unknown disk type %d", c.footer.diskType())
}

func (c *checker) checkFixed() {
	if size := c.footer.capacity(); size > uint64(c.footerAt) {
		c.damaged = true
		c.add(disk.Damage, c.footerAt, "the file is shorter than the disk")
		return
	}
	if c.displaced {
		c.add(disk.Repairable, c.footerAt, "the footer is not at the end of the file")
	}
	if c.Leaked = c.footerAt - c.footer.fixedEnd(c.footerAt); c.Leaked > 0 {
		c.add(disk.Leak, c.footerAt-c.Leaked, "%d bytes between the disk and its footer belong to neither", c.Leaked)
	}
}

func (c *checker) checkDynamic() error {
	if err := c.checkCopy(); err != nil {
		return err
	}
	size := int64(min(c.footer.capacity(), 1<<62))
	h, head, err := readFields(c.file, c.footer, size, c.fileSize)
	if err != nil {
		_, err = readHeader(c.file, c.footer, size, c.fileSize) // it knows what to blame
		return err
	}
	t, err := readTable(c.file, c.location, h)
	if err != nil {
		return err
	}
	c.table, c.Total, c.BlockSize = t, t.blocks(), h.blockSize
	if err := c.checkTable(); err != nil {
		return err
	}
	if err := headerSum(c.file.Name(), h.at, head); err != nil {
		if c.damaged || h.entries != t.blocks() {
			return err // what else is wrong in the header, nobody knows
		}
		c.badSum = true
		c.add(disk.Repairable, h.at+headerSumAt, "the dynamic header's checksum is wrong, but all that the header says fits the footer, the table and the file")
	}
	if c.damaged {
		return nil
	}
	if c.Leaked = t.leaked(); c.Leaked > 0 {
		c.add(disk.Leak, -1, "%d bytes of the file belong to no block", c.Leaked)
	}
	return nil
}

// checkCopy compares the footer with its copy.
func (c *checker) checkCopy() error {
	if c.recovered {
		c.add(disk.Repairable, c.end(), "the footer at the end is missing or damaged; its copy at the start is sound")
		return nil
	}
	copied, err := readCopy(c.file)
	if err != nil || *copied == *c.footer {
		return err
	}
	if p := copied.problem(); p != "" {
		c.add(disk.Repairable, 0, "the copy of the footer at the start is damaged: %s", p)
	} else {
		c.add(disk.Repairable, 0, "the copy of the footer at the start differs from the footer")
	}
	return nil
}

// checkTable looks at where each block is.
func (c *checker) checkTable() error {
	t := c.table
	for i := range t.entries {
		at := t.tableOffset + i*4
		switch {
		case i >= t.blocks():
			if t.stray(i) {
				c.add(disk.Repairable, at, "the disk has %d blocks, but the table has a place for block %d", t.blocks(), i)
			}
			continue
		case t.bat[i] == unused:
			continue
		}
		c.Allocated++
		if reason := t.misplaced(i, c.fileSize); reason != "" {
			c.damaged = true
			c.add(disk.Damage, at, "%s", reason)
		}
	}
	before := int64(len(c.Problems)) + c.More
	err := claims.Overlaps(&c.Report, c.file.Name(), t.stride()/sectorSize, c.fileSize/sectorSize, func(yield func(uint32)) error {
		for _, e := range t.bat[:t.blocks()] {
			if e != unused {
				yield(e)
			}
		}
		return nil
	})
	c.damaged = c.damaged || int64(len(c.Problems))+c.More > before
	return err
}
