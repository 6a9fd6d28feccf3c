package ata

import "github.com/sharevm/vmm/disk"

// Masks of what the registers hold of an address.
const (
	mask24 = 1<<24 - 1
	mask48 = 1<<48 - 1
)

// sectorCount is the count register, where zero stands for the most.
func sectorCount(c *Command) int {
	if c.op.extended {
		if c.Count == 0 {
			return 1 << 16
		}
		return int(c.Count)
	}
	if n := int(c.Count & 0xff); n != 0 {
		return n
	}
	return 1 << 8
}

// address is the first sector of a command, or false where the registers name none.
func (d *Disk) address(c *Command) (sector uint64, ok bool) {
	switch {
	case c.op.extended:
		return c.LBA & mask48, true
	case c.Device&deviceLBA != 0:
		return c.LBA&mask24 | uint64(c.Device&deviceHead)<<24, true
	}
	m := d.look()
	number, cylinder, head := c.LBA&0xff, c.LBA>>8&0xffff, uint64(c.Device&deviceHead)
	if number == 0 || number > uint64(m.perTrack) || head >= uint64(m.heads) {
		return 0, false
	}
	return (cylinder*uint64(m.heads)+head)*uint64(m.perTrack) + number - 1, true
}

// decodeMedium checks a command that addresses sectors.
func (d *Disk) decodeMedium(c *Command) uint8 {
	n := sectorCount(c)
	if c.Opcode == opSeek {
		n = 1
	}
	c.Block = d.sector
	if c.op.multiple {
		m := d.look()
		if m.multiple == 0 {
			return ErrorAbort
		}
		c.Block *= int(m.multiple)
	}
	return d.reach(c, n)
}

// decodeQueued checks READ and WRITE FPDMA QUEUED (SATA 3.0): the count is in the features, and the tag in the count.
func (d *Disk) decodeQueued(c *Command) uint8 {
	if !d.cfg.SATA {
		return ErrorAbort
	}
	c.Tag = int(c.Count >> 3 & 31)
	n := int(c.Features)
	if n == 0 {
		n = 1 << 16
	}
	c.durable = c.Device&deviceFUA != 0
	return d.reach(c, n)
}

// reach finds where on the medium the n sectors of a command are.
func (d *Disk) reach(c *Command, n int) uint8 {
	first, ok := d.address(c)
	if !ok || first >= d.sectors || uint64(n) > d.sectors-first {
		return ErrorNotFound
	}
	if c.Protocol.ToDevice() && d.cfg.ReadOnly {
		return ErrorAbort
	}
	c.offset = int64(first) * int64(d.sector)
	c.extent = n * d.sector
	if c.Protocol != NonData {
		c.medium, c.Length = true, c.extent
	}
	c.durable = c.durable || c.op.durable
	return 0
}

// transfer moves sectors, or a part of them, between data and the medium.
func (d *Disk) transfer(c *Command, data [][]byte) {
	at := c.offset + int64(c.Done)
	n := length(data)
	if c.Protocol.ToDevice() {
		err := disk.WriteVector(d.cfg.Image, data, at)
		if err == nil && c.Done+n == c.Length && (c.durable || !d.look().cache) {
			err = d.cfg.Image.Flush()
		}
		if err != nil {
			d.report("write", c, err)
			d.fault(c)
			return
		}
	} else if err := disk.ReadVector(d.cfg.Image, data, at); err != nil {
		d.report("read", c, err)
		d.unreadable(c, at, n)
		return
	}
	if c.Done += n; c.Done == c.Length {
		d.wake()
		c.Result.Count = 0
		d.leave(c, uint64(c.offset+int64(c.Length))/uint64(d.sector)-1)
		c.succeed()
	}
}

// fault ends a command whose write or flush the image refused: nothing about the host's request was wrong.
func (d *Disk) fault(c *Command) {
	c.Fail(ErrorAbort)
	c.Result.Status |= StatusFault
	d.remember(c)
}

// unreadable ends a read in whose n bytes at off there is a bad sector; the host is told the first that is.
func (d *Disk) unreadable(c *Command, off int64, n int) {
	buf := c.room(d.sector)
	bad := uint64(off) / uint64(d.sector)
	for end := (off + int64(n)) / int64(d.sector); int64(bad) < end; bad++ {
		if _, err := d.cfg.Image.ReadAt(buf, int64(bad)*int64(d.sector)); err != nil {
			break
		}
	}
	c.Fail(ErrorUncorrectable)
	d.leave(c, bad)
	d.remember(c)
}

// leave puts an address into the registers, in the form in which the command had it.
func (d *Disk) leave(c *Command, sector uint64) {
	switch {
	case c.op.extended:
		c.Result.LBA = sector
	case c.Device&deviceLBA != 0:
		c.Result.LBA = sector & mask24
		c.Result.Device = c.Result.Device&^deviceHead | uint8(sector>>24)&deviceHead
	default:
		m := d.look()
		track := sector / uint64(m.perTrack)
		c.Result.LBA = sector%uint64(m.perTrack) + 1 | track/uint64(m.heads)<<8
		c.Result.Device = c.Result.Device&^deviceHead | uint8(track%uint64(m.heads))
	}
}

// verify reads sectors and shows them to nobody.
func (d *Disk) verify(c *Command, _ [][]byte) {
	const piece = 64 << 10
	buf := c.room(piece)
	for done := 0; done < c.extent; done += len(buf) {
		buf = buf[:min(piece, c.extent-done)]
		at := c.offset + int64(done)
		if _, err := d.cfg.Image.ReadAt(buf, at); err != nil {
			d.report("verify", c, err)
			d.unreadable(c, at, len(buf))
			return
		}
	}
	c.succeed()
}

// flush makes durable what the cache holds.
func (d *Disk) flush(c *Command, _ [][]byte) {
	if d.cfg.ReadOnly {
		c.succeed()
		return
	}
	if err := d.cfg.Image.Flush(); err != nil {
		d.report("flush", c, err)
		d.fault(c)
		return
	}
	c.succeed()
}

// nothing is all that some commands have to do.
func (d *Disk) nothing(c *Command, _ [][]byte) { c.succeed() }
