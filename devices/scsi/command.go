package scsi

import (
	"encoding/binary"
	"log/slog"
)

// CDBSize is the longest command descriptor block in bytes. The bytes behind a shorter one must be zero.
const CDBSize = 32

// Command is one command of a guest and its outcome. It is made to be used again, see Clear.
type Command struct {
	// CDB is the command as the guest stated it, copied once.
	CDB [CDBSize]byte
	// LUN is the logical unit; only number 0 exists.
	LUN uint64
	// Owner is whatever the controller wants back with the outcome; a pointer costs no allocation.
	Owner any

	data   [][]byte // guest memory
	length int      // bytes in it

	// Status, Sense and SenseLength (0 or SenseSize) are the outcome.
	Status      Status
	Sense       [SenseSize]byte
	SenseLength int
	// Moved is how many bytes were moved to or from the guest's memory; the rest of what the guest offered is the residual.
	Moved int
	// Overrun says that the command had more data to move than the guest had memory for.
	Overrun bool
	// Aborted says that the command was taken back before it began: it has no status.
	Aborted bool

	flight // the Engine's
}

// Clear makes c a new command. Storage is kept.
func (c *Command) Clear() {
	*c = Command{Owner: c.Owner, data: c.data[:0]}
}

// Add appends a piece of guest memory that holds the command's data, or takes it.
func (c *Command) Add(p []byte) {
	if len(p) > 0 {
		c.data = append(c.data, p)
		c.length += len(p)
	}
}

// Length is how many bytes of guest memory the command has.
func (c *Command) Length() int { return c.length }

// Residual is how many bytes of that the command left alone.
func (c *Command) Residual() int { return c.length - c.Moved }

// SenseKey is the key of the sense data, 0 without any.
func (c *Command) SenseKey() uint8 { return c.Sense[2] & 0xf }

// fail ends c with a check condition.
func (c *Command) fail(s Sense) {
	c.Status = CheckCondition
	s.put(&c.Sense)
	c.SenseLength = SenseSize
}

// failField ends c because of byte at of the CDB (SPC-4, section 4.5.2.4.2).
func (c *Command) failField(at int) {
	c.fail(senseBadField)
	c.Sense[15] = 0xc0
	binary.BigEndian.PutUint16(c.Sense[16:], uint16(at))
}

// reply moves p, or as much of it as allocation (the CDB's limit) and the guest's memory hold, to the guest.
func (c *Command) reply(p []byte, allocation int) {
	c.copyOut(p[:min(len(p), allocation)])
}

// copyIn fills p from the guest's data at off, and says whether there was enough of it.
func (c *Command) copyIn(p []byte, off int) bool {
	for _, d := range c.data {
		if off >= len(d) {
			off -= len(d)
			continue
		}
		n := copy(p, d[off:])
		p, off = p[n:], 0
	}
	return len(p) == 0
}

// take cuts the guest's data to n bytes, or says that there are fewer.
func (c *Command) take(n int) ([][]byte, bool) {
	if n > c.length {
		c.Overrun = true
		return c.data, false
	}
	left := n
	for i, d := range c.data {
		if left <= len(d) {
			c.data[i] = d[:left]
			if left == 0 {
				return c.data[:i], true
			}
			return c.data[:i+1], true
		}
		left -= len(d)
	}
	return c.data, true
}

// extent reads the first block and the number of blocks of a CDB of any length (SPC-4, section 4.2.2).
func (c *Command) extent() (lba, blocks uint64) {
	be, cdb := binary.BigEndian, &c.CDB
	switch cdb[0] >> 5 {
	case 0:
		lba, blocks = uint64(be.Uint32(cdb[0:])&0x1fffff), uint64(cdb[4])
		if blocks == 0 {
			blocks = 256
		}
	case 1, 2:
		lba, blocks = uint64(be.Uint32(cdb[2:])), uint64(be.Uint16(cdb[7:]))
	case 5:
		lba, blocks = uint64(be.Uint32(cdb[2:])), uint64(be.Uint32(cdb[6:]))
	case 4:
		lba, blocks = be.Uint64(cdb[2:]), uint64(be.Uint32(cdb[10:]))
	}
	return lba, blocks
}

// allocation6 and allocation10 are the allocation or parameter list lengths of CDBs of 6 and 10 bytes.
func (c *Command) allocation6() int  { return int(binary.BigEndian.Uint16(c.CDB[3:])) }
func (c *Command) allocation10() int { return int(binary.BigEndian.Uint16(c.CDB[7:])) }

// discard is the log of units that were given none.
var discard = slog.New(slog.DiscardHandler)

// copyOut appends p to what was moved to the guest, and says whether there was room for all of it.
func (c *Command) copyOut(p []byte) bool {
	off := c.Moved
	for _, d := range c.data {
		if off >= len(d) {
			off -= len(d)
			continue
		}
		n := copy(d[off:], p)
		c.Moved += n
		p, off = p[n:], 0
	}
	c.Overrun = len(p) > 0
	return !c.Overrun
}
