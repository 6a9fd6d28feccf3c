package ata

import "encoding/binary"

// General purpose logs (ATA8-ACS, annex A).
const (
	logDirectory = 0x00
	logQueued    = 0x10 // NCQ command error
)

// decodeLog checks READ LOG EXT: the log's address is in the low byte, its page number in the next and the one after the count's.
func (d *Disk) decodeLog(c *Command) uint8 {
	log, first := c.LBA&0xff, c.LBA>>8&0xff|c.LBA>>32&0xff00
	if log != logDirectory && (log != logQueued || !d.cfg.SATA) || first != 0 || c.Count != 1 {
		return ErrorAbort
	}
	c.Length = SectorSize
	return 0
}

func (d *Disk) readLog(c *Command, data [][]byte) {
	if c.LBA&0xff == logDirectory {
		c.answer(data, func(p page) {
			p.set(0, 1)
			if d.cfg.SATA {
				p.set(logQueued, 1)
			}
		})
		return
	}
	c.answer(data, d.queuedLog)
}

// remember notes the first queued command that failed, for the host to read afterwards.
func (d *Disk) remember(c *Command) {
	if !d.cfg.SATA || !c.Protocol.Queued() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.mode.failed.valid {
		d.mode.failed = ncqError{true, uint8(c.Tag), c.Result.Status, c.Result.Error, c.Result.LBA, c.Result.Count, c.Result.Device}
	}
}

// queuedLog fills in the NCQ command error log, and forgets it: reading it ends the error.
func (d *Disk) queuedLog(p page) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.mode.failed
	d.mode.failed = ncqError{}
	if !e.valid {
		p[0] = 1 << 7 // none
		p.seal()
		return
	}
	p[0], p[2], p[3], p[7] = e.tag, e.status, e.error, e.device
	var lba [8]byte
	binary.LittleEndian.PutUint64(lba[:], e.lba)
	copy(p[4:7], lba[:3])
	copy(p[8:11], lba[3:6])
	binary.LittleEndian.PutUint16(p[12:], e.count)
	p.seal()
}
