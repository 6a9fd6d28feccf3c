package ata

import "encoding/binary"

// DATA SET MANAGEMENT (ATA8-ACS-2, section 7.10).
const (
	trimFeature = 1 // in the features register
	trimBlocks  = 8 // of 512 bytes with ranges that one command may have (IDENTIFY DEVICE, word 105)
	trimRange   = 8 // bytes: 48 bits of address, 16 of length in sectors
)

func (d *Disk) decodeTrim(c *Command) uint8 {
	if c.Features&0xff != trimFeature || d.cfg.ReadOnly || c.Count == 0 || c.Count > trimBlocks {
		return ErrorAbort
	}
	c.Length = int(c.Count) * SectorSize
	return 0
}

// trim collects the ranges, then discards them.
func (d *Disk) trim(c *Command, data [][]byte) {
	ranges := c.room(c.Length)
	c.Done += take(data, ranges, c.Done)
	if c.Done < c.Length {
		return
	}
	for off := 0; off < len(ranges); off += trimRange {
		v := binary.LittleEndian.Uint64(ranges[off:])
		first, n := v&mask48, v>>48
		if n == 0 {
			continue
		}
		if first >= d.sectors || n > d.sectors-first {
			c.Fail(ErrorNotFound)
			return
		}
		if err := d.cfg.Image.Discard(int64(first)*int64(d.sector), int64(n)*int64(d.sector)); err != nil {
			d.report("trim", c, err)
			d.fault(c)
			return
		}
	}
	c.succeed()
}
