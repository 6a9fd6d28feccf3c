package scsi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/sharevm/vmm/disk"
)

// flagFUA is Force Unit Access in byte 1 of CDBs of more than 6 bytes.
const flagFUA = 0x08

// within checks an extent against the medium and a limit in bytes, and returns the offset and length in bytes.
func (d *Disk) within(c *Command, limit uint64) (off int64, n int, ok bool) {
	lba, blocks := c.extent()
	capacity, size := d.blocks.Load(), uint64(d.blockSize)
	switch {
	case lba > capacity || blocks > capacity-lba:
		c.fail(senseBadLBA)
		putLBA(&c.Sense, lba)
		return 0, 0, false
	case c.CDB[0] >= 0x20 && c.CDB[1]&0xe0 != 0: // protection information, which the disk has not
		c.failField(1)
		return 0, 0, false
	case blocks > limit/size:
		c.failField(lengthField(c.CDB[0]))
		return 0, 0, false
	}
	return int64(lba * size), int(blocks * size), true
}

// lengthField is the first byte of the number of blocks in a CDB.
func lengthField(op uint8) int { return [...]int{4, 7, 7, 0, 10, 6, 0, 0}[op>>5] }

// read serves READ (6), (10), (12) and (16). A guest that has too little memory gets what fits, and learns of the overrun.
func (d *Disk) read(c *Command) {
	off, n, ok := d.within(c, maxTransfer)
	if !ok || n == 0 {
		return
	}
	bufs, _ := c.take(n)
	n = min(n, c.length)
	if err := readImage(d.image, d.vector, bufs, n, off); err != nil {
		d.fault(c, err, off, senseReadFault)
		return
	}
	c.Moved = n
}

// write serves the WRITE and WRITE AND VERIFY commands; a verified write is a durable one.
func (d *Disk) write(c *Command) {
	off, n, ok := d.within(c, maxTransfer)
	if !ok || !d.writable(c) || n == 0 {
		return
	}
	bufs, ok := c.take(n)
	if !ok {
		c.fail(senseDataPhase)
		return
	}
	if err := writeImage(d.image, d.vector, bufs, n, off); err != nil {
		d.fault(c, err, off, senseWriteFault)
		return
	}
	c.Moved = n
	forced := false
	switch c.CDB[0] {
	case opWriteVerify10, opWriteVerify12, opWriteVerify16:
		forced = true
	case opWrite10, opWrite12, opWrite16:
		forced = c.CDB[1]&flagFUA != 0
	}
	d.settle(c, forced, off)
}

// settle makes what was written durable where that was promised.
func (d *Disk) settle(c *Command, forced bool, off int64) {
	if !forced && d.cached.Load() {
		return
	}
	if err := d.image.Flush(); err != nil {
		d.fault(c, err, off, senseWriteFault)
	}
}

// writable fails c on a disk that is not.
func (d *Disk) writable(c *Command) bool {
	if d.readOnly {
		c.fail(senseReadOnly)
	}
	return !d.readOnly
}

// scratch is where data is read that goes no further.
var scratch = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// verify serves the VERIFY commands: it reads, and compares if asked to.
func (d *Disk) verify(c *Command) {
	off, n, ok := d.within(c, maxTransfer)
	if !ok {
		return
	}
	compare := c.CDB[1] >> 1 & 3
	if compare > 1 {
		c.failField(1)
		return
	}
	if compare == 1 && c.length < n {
		c.Overrun = true
		c.fail(senseDataPhase)
		return
	}
	have, want := scratch.Get().(*[64 << 10]byte), scratch.Get().(*[64 << 10]byte)
	defer scratch.Put(have)
	defer scratch.Put(want)
	for at := 0; at < n; {
		part := min(n-at, len(have))
		if err := readImage(d.image, nil, [][]byte{have[:part]}, part, off+int64(at)); err != nil {
			d.fault(c, err, off+int64(at), senseReadFault)
			return
		}
		if compare == 1 && (!c.copyIn(want[:part], at) || !bytes.Equal(have[:part], want[:part])) {
			c.fail(senseMiscompare)
			return
		}
		at += part
		if compare == 1 {
			c.Moved = at
		}
	}
}

// look serves commands that name blocks and do nothing with them that could be seen.
func (d *Disk) look(c *Command) { d.inside(c) }

// inside checks an extent against the medium alone.
func (d *Disk) inside(c *Command) bool {
	lba, blocks := c.extent()
	if c.CDB[0] == opSeek10 {
		blocks = 1
	}
	if n := d.blocks.Load(); lba > n || blocks > n-lba {
		c.fail(senseBadLBA)
		return false
	}
	return true
}

// synchronize serves the SYNCHRONIZE CACHE commands. Whatever range they name, everything becomes durable.
func (d *Disk) synchronize(c *Command) {
	if !d.inside(c) {
		return
	}
	if err := d.image.Flush(); err != nil {
		d.fault(c, err, 0, senseWriteFault)
	}
}

// maxPattern is how many copies of a block one write of WRITE SAME makes.
const maxPattern = 256

// writeSame serves WRITE SAME (10) and (16) (SBC-3, section 5.45). Zeroes cost no data.
func (d *Disk) writeSame(c *Command) {
	off, n, ok := d.within(c, maxZeroes)
	const flagUnmap, flagNoData, oldFlags = 0x08, 0x01, 0x06
	noData := c.CDB[0] == opWriteSame16 && c.CDB[1]&flagNoData != 0
	switch {
	case !ok || !d.writable(c):
		return
	case c.CDB[1]&oldFlags != 0:
		c.failField(1)
		return
	case n == 0:
		c.failField(lengthField(c.CDB[0]))
		return
	}
	block := make([]byte, d.blockSize)
	if !noData {
		if !c.copyIn(block, 0) {
			c.Overrun = true
			c.fail(senseDataPhase)
			return
		}
		c.Moved = d.blockSize
	}
	var err error
	if allZero(block) {
		err = d.image.WriteZeroes(off, int64(n), c.CDB[1]&flagUnmap != 0)
	} else {
		err = d.repeat(block, off, n)
	}
	if err != nil {
		d.fault(c, err, off, senseWriteFault)
		return
	}
	d.settle(c, false, off)
}

// repeat writes copies of block to n bytes at off.
func (d *Disk) repeat(block []byte, off int64, n int) error {
	bufs := make([][]byte, min(maxPattern, n/len(block)))
	for i := range bufs {
		bufs[i] = block
	}
	for n > 0 {
		part := min(n, len(bufs)*len(block))
		if err := writeImage(d.image, d.vector, bufs[:part/len(block)], part, off); err != nil {
			return err
		}
		off, n = off+int64(part), n-part
	}
	return nil
}

func allZero(p []byte) bool {
	for _, v := range p {
		if v != 0 {
			return false
		}
	}
	return true
}

// unmap serves UNMAP (SBC-3, section 5.28).
func (d *Disk) unmap(c *Command) {
	const header, entry = 8, 16
	var list [header + maxUnmapRanges*entry]byte
	length := c.allocation10()
	switch {
	case !d.writable(c) || length == 0:
		return
	case c.CDB[1]&1 != 0: // anchor
		c.failField(1)
		return
	case length < header || !c.copyIn(list[:min(length, len(list))], 0):
		c.fail(senseListLength)
		return
	}
	c.Moved = length
	ranges := int(binary.BigEndian.Uint16(list[2:])) / entry
	if ranges > maxUnmapRanges || header+ranges*entry > length {
		c.fail(senseBadParameter)
		return
	}
	capacity, total := d.blocks.Load(), uint64(0)
	for _, apply := range []bool{false, true} { // all are checked before one is carried out
		for i := range ranges {
			p := list[header+i*entry:]
			lba, blocks := binary.BigEndian.Uint64(p), uint64(binary.BigEndian.Uint32(p[8:]))
			size := uint64(d.blockSize)
			if !apply {
				if lba > capacity || blocks > capacity-lba {
					c.fail(senseBadLBA)
					return
				}
				if total += blocks; total > maxUnmap/size {
					c.fail(senseBadParameter)
					return
				}
				continue
			}
			if blocks == 0 {
				continue
			}
			if err := d.image.Discard(int64(lba*size), int64(blocks*size)); err != nil {
				d.fault(c, err, int64(lba*size), senseWriteFault)
				return
			}
		}
	}
}

// fault logs an error of the image at off and fails c: with s, unless the error has a sense of its own.
func (d *Disk) fault(c *Command, err error, off int64, s Sense) {
	d.log.Error("disk request failed; the guest sees an I/O error", "command", fmt.Sprintf("%#02x", c.CDB[0]), "offset", off,
		"bytes", c.length, "error", err)
	switch {
	case errors.Is(err, disk.ErrReadOnly):
		s = senseReadOnly
	case errors.Is(err, disk.ErrFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		s = senseNoSpace
	}
	c.Moved = 0
	c.fail(s)
	if s.Key == keyMediumError {
		putLBA(&c.Sense, uint64(off)/uint64(d.blockSize))
	}
}
