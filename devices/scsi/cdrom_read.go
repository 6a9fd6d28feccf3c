package scsi

import "fmt"

// read serves READ (6), (10) and (12).
func (d *CDROM) read(c *Command) {
	lba, blocks := c.extent()
	d.transfer(c, lba, blocks)
}

// transfer reads whole blocks. A guest that has too little memory gets what fits.
func (d *CDROM) transfer(c *Command, lba, blocks uint64) {
	if !d.inside(c, lba, blocks) || blocks == 0 {
		return
	}
	if blocks > maxCDTransfer/cdBlock {
		c.failField(lengthField(c.CDB[0]))
		return
	}
	bufs, _ := c.take(int(blocks * cdBlock))
	n := min(int(blocks*cdBlock), c.length)
	if err := readImage(d.image, d.vector, bufs, n, int64(lba*cdBlock)); err != nil {
		d.fault(c, err, lba)
		return
	}
	c.Moved = n
}

// inside checks an extent against the medium.
func (d *CDROM) inside(c *Command, lba, blocks uint64) bool {
	if n := d.blocks(); lba > n || blocks > n-lba {
		c.fail(senseBadLBA)
		putLBA(&c.Sense, lba)
		return false
	}
	return true
}

func (d *CDROM) seek(c *Command) {
	lba, blocks := c.extent()
	if c.CDB[0] == opSeek10 {
		blocks = 1
	}
	d.inside(c, lba, blocks)
}

func (d *CDROM) fault(c *Command, err error, lba uint64) {
	d.log.Error("disc can't be read; the guest sees an I/O error", "command", fmt.Sprintf("%#02x", c.CDB[0]), "block", lba, "error", err)
	c.Moved = 0
	c.fail(senseReadFault)
	putLBA(&c.Sense, lba)
}

// Main channel selection of READ CD, byte 9 (MMC-6, section 6.19).
const (
	selectSync     = 0x80
	selectSubhead  = 0x40
	selectHeader   = 0x20
	selectUserData = 0x10
	selectECC      = 0x08
	selectAll      = selectSync | selectHeader | selectUserData | selectECC

	rawBlock   = 2352
	rawHeader  = 16   // sync and header before the user data
	maxRaw     = 4096 // blocks of one raw read
	framesRate = 75   // in a second
	leadIn     = 150  // frames before block 0
)

// readCD serves READ CD of data sectors in mode 1: user data alone, or whole raw sectors.
func (d *CDROM) readCD(c *Command) {
	lba := uint64(c.CDB[2])<<24 | uint64(c.CDB[3])<<16 | uint64(c.CDB[4])<<8 | uint64(c.CDB[5])
	blocks := uint64(c.CDB[6])<<16 | uint64(c.CDB[7])<<8 | uint64(c.CDB[8])
	d.readSectors(c, lba, blocks)
}

// readCDMSF serves READ CD MSF, which counts in minutes, seconds and frames.
func (d *CDROM) readCDMSF(c *Command) {
	start, end := frames(c.CDB[3:6]), frames(c.CDB[6:9])
	if start < leadIn || end < start {
		c.failField(3)
		return
	}
	d.readSectors(c, uint64(start-leadIn), uint64(end-start))
}

// frames is the number of frames at a minute, second and frame.
func frames(msf []byte) int { return (int(msf[0])*60+int(msf[1]))*framesRate + int(msf[2]) }

func (d *CDROM) readSectors(c *Command, lba, blocks uint64) {
	if kind := c.CDB[1] >> 2 & 7; kind != 0 && kind != 2 { // any, mode 1
		c.fail(senseBadTrackMode)
		return
	}
	if c.CDB[10]&7 != 0 { // sub-channels
		c.failField(10)
		return
	}
	switch c.CDB[9] & 0xf8 {
	case 0:
		d.inside(c, lba, blocks)
	case selectUserData:
		d.transfer(c, lba, blocks)
	case selectAll, selectAll | selectSubhead:
		d.transferRaw(c, lba, blocks)
	default:
		c.failField(9)
	}
}

// transferRaw reads whole sectors of 2352 bytes, whose checksums are left zero.
func (d *CDROM) transferRaw(c *Command, lba, blocks uint64) {
	if !d.inside(c, lba, blocks) {
		return
	}
	if blocks > maxRaw {
		c.failField(6)
		return
	}
	var sector [rawBlock]byte
	for i := range blocks {
		clear(sector[:])
		for k := 1; k <= 10; k++ {
			sector[k] = 0xff
		}
		at := int(lba+i) + leadIn
		sector[12], sector[13], sector[14], sector[15] = bcd(at/framesRate/60), bcd(at/framesRate%60), bcd(at%framesRate), 1
		if err := readImage(d.image, nil, [][]byte{sector[rawHeader : rawHeader+cdBlock]}, cdBlock, int64((lba+i)*cdBlock)); err != nil {
			d.fault(c, err, lba+i)
			return
		}
		if !c.copyOut(sector[:]) {
			return
		}
	}
}

func bcd(n int) uint8 { return uint8(n/10%10<<4 | n%10) }
