package vmdk

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/claims"
)

// checkStream adds what is wrong with a stream to r. Old versions of rewritten grains count as leaked but are no problem: the format
// cannot do without.
func (c *extentCheck) checkStream(r *disk.Report) error {
	if c.lost {
		p := disk.Problem{
			Severity: disk.Damage, File: c.file.Name(), Offset: c.length,
			What: fmt.Sprintf("the file has lost its end, where the grain directory is; %d grains are left", len(c.found)),
		}
		if _, ok, err := c.retrace(); err != nil {
			return err
		} else if ok {
			p.Severity, p.What = disk.Repairable, "the file has lost its end; all grains and tables are there"
		}
		r.Add(p)
		r.Allocated += int64(len(c.found))
		return nil
	}
	used := c.overhead * sectorSize
	for _, m := range c.meta {
		used += m.end - max(m.start, min(m.end, c.overhead*sectorSize))
	}
	for i := range c.entries() {
		t, err := c.table(r, i)
		if err != nil {
			return err
		}
		for k, e := range t[:min(c.inDisk(i), int64(len(t)))] {
			if e <= zeroGrain {
				continue
			}
			r.Allocated++
			n, err := c.record(r, i*c.tableEntries+int64(k), e)
			if err != nil {
				return err
			}
			used += n
		}
	}
	if c.streamed {
		used += footerBytes
	}
	r.Leaked += max(c.length-used, 0)
	return claims.Overlaps(r, c.file.Name(), 1, c.length/sectorSize, func(yield func(uint32)) error { return c.eachGrain(yield) })
}

// record checks the start of a grain's record and returns the record's length.
func (c *extentCheck) record(r *disk.Report, grain int64, e uint32) (int64, error) {
	at := int64(e) * sectorSize
	var p [grainHeader]byte
	if err := disk.ReadFull(c.file, p[:], at, "grain"); err != nil {
		return 0, err
	}
	number, size := binary.LittleEndian.Uint64(p[:]), int64(binary.LittleEndian.Uint32(p[8:]))
	what := ""
	switch {
	case number != uint64(grain*c.grain):
		what = fmt.Sprintf("the record of grain %d says that it is sector %d, not %d", grain, number, grain*c.grain)
	case size == 0 || size > c.maxPacked() || at+grainHeader+size > c.length:
		what = fmt.Sprintf("compressed data of %d bytes is impossible here", size)
	default:
		return sectors(grainHeader+size) * sectorSize, nil
	}
	r.Add(disk.Problem{Severity: disk.Damage, File: c.file.Name(), Offset: at, What: what})
	return 0, nil
}
