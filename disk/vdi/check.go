package vdi

import (
	"fmt"

	"github.com/sharevm/vmm/disk"
)

// Check compares the header and the block map with each other and with the file.
func Check(path string, o disk.OpenOptions) (*disk.Report, error) {
	o.ReadOnly = true
	file, err := o.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	c, err := check(file)
	if err != nil {
		return nil, err
	}
	return &c.Report, nil
}

// checker collects what is wrong with a file.
type checker struct {
	disk.Report
	*table
	damaged bool // the map says what cannot be
}

func (c *checker) add(s disk.Severity, at int64, format string, args ...any) {
	c.Add(disk.Problem{Severity: s, File: c.file.Name(), Offset: at, What: fmt.Sprintf(format, args...)})
}

func check(file disk.File) (*checker, error) {
	length, err := file.Size()
	if err != nil {
		return nil, err
	}
	h, err := readHeader(file, length)
	if err != nil {
		return nil, err
	}
	t, err := readTable(file, h, length)
	if err != nil {
		return nil, err
	}
	c := &checker{table: t, Report: disk.Report{Format: "vdi", Total: t.inUse(), BlockSize: h.block}}
	c.checkMap()
	c.checkCount()
	return c, nil
}

func (c *checker) checkMap() {
	for i, e := range c.slots {
		if e > lastSlot {
			continue
		}
		at := c.mapAt + int64(i)*4
		if reason := c.misplaced(int64(i), e); reason != "" {
			c.damaged = true
			c.add(disk.Damage, at, "%s", reason)
			continue
		}
		c.Allocated++
		switch {
		case !c.take(int64(e)):
			c.damaged = true
			c.add(disk.Damage, at, "block %d shares slot %d with another block", i, e)
		case int64(e) >= c.blocks:
			c.add(disk.Repairable, at, "block %d lies in slot %d of a disk of %d blocks; its writer did not finish", i, e, c.blocks)
		}
	}
}

// checkCount compares the map with the header's count of slots. VirtualBox puts the next block into the slot of that number.
func (c *checker) checkCount() {
	switch {
	case c.allocated < c.top:
		c.add(disk.Repairable, allocatedAt, "the header counts %d blocks, but slot %d is in use; VirtualBox would write over it", c.allocated, c.top-1)
	case c.damaged:
		return
	case c.allocated != c.Allocated:
		c.add(disk.Leak, allocatedAt, "the header counts %d blocks, but %d are there", c.allocated, c.Allocated)
	}
	if c.Leaked = max(0, c.length-c.end(c.Allocated)); c.Leaked >= c.stride() && !c.damaged {
		c.add(disk.Leak, -1, "%d bytes of the file belong to no block", c.Leaked)
	}
}
