package ata

import "encoding/binary"

// Lengths of the strings of IDENTIFY DEVICE in bytes.
const (
	serialSize   = 20
	firmwareSize = 8
	modelSize    = 40
)

// page is 512 bytes as words, in the order of IDENTIFY DEVICE and of logs.
type page []byte

func (p page) set(word int, v uint16) { binary.LittleEndian.PutUint16(p[2*word:], v) }

func (p page) set32(word int, v uint32) { binary.LittleEndian.PutUint32(p[2*word:], v) }

// text stores ASCII padded with spaces, the first character in the upper half of each word (ATA8-ACS, section 3.3.9).
func (p page) text(word, size int, s string) {
	for i := range size {
		ch := byte(' ')
		if i < len(s) && s[i] >= ' ' && s[i] < 0x7f {
			ch = s[i]
		}
		p[2*word+i^1] = ch
	}
}

// seal makes the bytes of a page sum up to zero.
func (p page) seal() {
	var sum byte
	for _, b := range p[:len(p)-1] {
		sum += b
	}
	p[len(p)-1] = -sum
}

// decodePage is for commands whose answer is one page.
func (d *Disk) decodePage(c *Command) uint8 {
	c.Length = SectorSize
	return 0
}

// answer gives the host what is left of a page that fill makes.
func (c *Command) answer(data [][]byte, fill func(page)) {
	p := c.room(max(c.Length, SectorSize))
	if c.Done == 0 {
		clear(p)
		fill(p)
	}
	c.Done += put(data, p[:c.Length], c.Done)
	if c.Done >= c.Length {
		c.succeed()
	}
}

func (d *Disk) identify(c *Command, data [][]byte) { c.answer(data, d.identity) }

// Bits of words 82 and 85, 83 and 86, 84 and 87 of IDENTIFY DEVICE.
const (
	hasSMART     = 1 << 0
	hasPower     = 1 << 3
	hasCache     = 1 << 5
	hasLookAhead = 1 << 6

	hasLBA48    = 1 << 10
	hasFlush    = 1 << 12
	hasFlushExt = 1 << 13
	wordIsValid = 1 << 14

	hasErrorLog       = 1 << 0
	hasGeneralLogs    = 1 << 5
	hasFUA            = 1 << 6
	hasSecondRevision = 1 << 15
)

// identity fills in IDENTIFY DEVICE (ATA8-ACS, section 7.16).
func (d *Disk) identity(p page) {
	m := d.look()
	all := d.sectors
	p.set(0, 0x0040) // a fixed disk
	cylinders := min(all/(defaultHeads*defaultPerTrack), maxCylinders)
	p.set(1, uint16(cylinders))
	p.set(3, defaultHeads)
	p.set(6, defaultPerTrack)
	p.text(10, serialSize, d.cfg.Serial)
	p.text(23, firmwareSize, d.cfg.Firmware)
	p.text(27, modelSize, d.cfg.Model)
	p.set(47, 0x8000|maxMultiple)
	p.set(49, 1<<8|1<<9|1<<10|1<<11|1<<13) // DMA, LBA, IORDY, standard standby timers
	p.set(50, wordIsValid)
	p.set(53, 1<<0|1<<1|1<<2) // words 54-58, 64-70 and 88 hold
	current := min(all/(uint64(m.heads)*uint64(m.perTrack)), 0xffff)
	p.set(54, uint16(current))
	p.set(55, uint16(m.heads))
	p.set(56, uint16(m.perTrack))
	p.set32(57, uint32(current*uint64(m.heads)*uint64(m.perTrack)))
	if m.multiple != 0 {
		p.set(59, 1<<8|uint16(m.multiple))
	}
	p.set32(60, uint32(min(all, 1<<28-1)))
	multiword, ultra := uint16(7), uint16(0x3f)
	switch m.transfer &^ 7 {
	case modeMultiword:
		multiword |= 1 << 8 << (m.transfer & 7)
	case modeUltra:
		ultra |= 1 << 8 << (m.transfer & 7)
	}
	p.set(63, multiword)
	p.set(64, 3) // PIO modes 3 and 4
	for w := 65; w <= 68; w++ {
		p.set(w, 120) // ns, the shortest cycles
	}
	p.set(75, queueDepth-1)
	if d.cfg.SATA {
		p.set(76, 1<<1|1<<2|1<<3|1<<8) // 1.5, 3 and 6 Gbit/s, NCQ
	} else {
		p.set(75, 0)
		p.set(93, 1<<14|1<<13|1<<0) // an 80-wire cable
	}
	p.set(80, 0x1f0) // ATA/ATAPI-4 to ATA8-ACS
	supported, enabled := uint16(hasSMART|hasPower|hasLookAhead), uint16(hasPower)
	if !d.cfg.WriteThrough && !d.cfg.ReadOnly {
		supported |= hasCache
	}
	if m.smart {
		enabled |= hasSMART
	}
	if m.cache {
		enabled |= hasCache
	}
	if m.lookAhead {
		enabled |= hasLookAhead
	}
	p.set(82, supported)
	p.set(83, wordIsValid|hasLBA48|hasFlush|hasFlushExt)
	p.set(84, wordIsValid|hasErrorLog|hasGeneralLogs|hasFUA)
	p.set(85, enabled)
	p.set(86, hasLBA48|hasFlush|hasFlushExt)
	p.set(87, wordIsValid|hasErrorLog|hasGeneralLogs|hasFUA)
	p.set(88, ultra)
	p.set32(100, uint32(all))
	p.set32(102, uint32(all>>32))
	if !d.cfg.ReadOnly {
		p.set(105, trimBlocks)
		p.set(169, 1) // DATA SET MANAGEMENT with TRIM
	}
	p.set(106, wordIsValid)
	if d.sector != SectorSize {
		p.set(106, wordIsValid|1<<12)
		p.set32(117, uint32(d.sector/2))
	}
	p.set(217, 1) // nothing turns
	p[510] = 0xa5 // the next byte is a checksum
	p.seal()
}

// queueDepth is how many queued commands a disk takes.
const queueDepth = 32
