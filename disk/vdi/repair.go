package vdi

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/sharevm/vmm/disk"
)

// Repair puts right what [Check] calls a leak or repairable: the header's count of slots, slots behind all that there can be, and room that belongs to
// no block. Where it finds damage, only a count that is too low becomes as high as it must be, so that no program writes over a block.
func Repair(path string, o disk.OpenOptions) error {
	o.ReadOnly = false
	file, err := o.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(repair(file, o), file.Close())
}

func repair(file disk.File, o disk.OpenOptions) error {
	c, err := check(file)
	if err != nil || len(c.Problems) == 0 {
		return err
	}
	if c.damaged {
		if c.allocated >= c.top {
			return nil
		}
		if _, err := file.WriteAt(binary.LittleEndian.AppendUint32(nil, uint32(c.top)), allocatedAt); err != nil {
			return err
		}
		return file.Sync()
	}
	i := &Image{file: file, options: o}
	if err := i.load(); err != nil {
		return err
	}
	return i.tidy(math.MaxInt64)
}
