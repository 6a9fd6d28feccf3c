package vhd

import (
	"errors"
	"math"

	"github.com/sharevm/vmm/disk"
)

// Repair puts right what [Check] calls a leak or repairable: the footers from each other, a header's checksum, entries beyond the disk, and room
// that belongs to no block. Where it finds damage, no block is moved and the file keeps its length or becomes longer. Children stay valid.
func Repair(path string, o disk.OpenOptions) error {
	o.ReadOnly, o.Alone = false, true
	file, err := o.Open(path)
	if err != nil {
		return err
	}
	file = keepDate(file)
	return errors.Join(repair(file, o), file.Close())
}

func repair(file disk.File, o disk.OpenOptions) error {
	l, err := locate(file)
	if err != nil {
		return err
	}
	c := checker{file: file, location: l}
	if err := c.check(); err != nil || len(c.Problems) == 0 {
		return err
	}
	i := &Image{file: file, options: o, location: l, table: c.table, info: disk.Info{Path: file.Name(), Size: int64(l.footer.capacity())}}
	i.serve()
	switch {
	case c.table == nil && c.damaged:
		return nil // nobody knows what is missing
	case c.table == nil:
		return i.endFixed(l.footer, l.footer.fixedEnd(l.footerAt))
	}
	if c.badSum {
		if err := i.editHeader(func([]byte) {}); err != nil {
			return err
		}
	}
	if c.damaged {
		return i.repairAround(l)
	}
	if err := i.recover(math.MaxInt64); err != nil {
		return err
	}
	if l.short() {
		return i.table.restoreEnd()
	}
	return nil
}

// repairAround puts the footers right and drops entries beyond the disk, of a disk whose blocks cannot be trusted.
func (i *Image) repairAround(l location) error {
	if i.table.dropStrays() {
		i.store.Wrote()
		if err := i.store.Flush(); err != nil {
			return err
		}
	}
	return i.setFooters(l.footer)
}
