package scsi

import "encoding/binary"

func (d *CDROM) inquire(c *Command) {
	pages := []byte{pageSupported, pageDevice}
	if d.serial != "" {
		pages = []byte{pageSupported, pageSerial, pageDevice}
	}
	d.inquiry(c, pages, func(uint8) []byte { return nil })
}

// Control field of a track: data, copying permitted or not.
const trackData = 0x14

// putAddress stores a block as such, or as reserved byte, minute, second and frame.
func putAddress(p []byte, lba uint64, msf bool) {
	if !msf {
		binary.BigEndian.PutUint32(p, uint32(lba))
		return
	}
	at := min(lba+leadIn, 256*60*framesRate-1)
	p[0], p[1], p[2], p[3] = 0, uint8(at/framesRate/60), uint8(at/framesRate%60), uint8(at%framesRate)
}

// readTOC serves READ TOC/PMA/ATIP (MMC-6, section 6.25) for the one session with the one track.
func (d *CDROM) readTOC(c *Command) {
	const leadOut = 0xaa
	msf, first := c.CDB[1]&2 != 0, c.CDB[6]
	format := c.CDB[2] & 0xf
	if format == 0 {
		format = c.CDB[9] >> 6 // where SFF-8020 has it
	}
	var p []byte
	switch format {
	case 0:
		if first > 1 && first != leadOut {
			c.failField(6)
			return
		}
		p = []byte{0, 0, 1, 1}
		if first <= 1 {
			p = append(p, 0, trackData, 1, 0, 0, 0, 0, 0)
			putAddress(p[8:], 0, msf)
		}
		p = append(p, 0, trackData, leadOut, 0, 0, 0, 0, 0)
		putAddress(p[len(p)-4:], d.blocks(), msf)
	case 1: // where the last session starts
		p = []byte{0, 0, 1, 1, 0, trackData, 1, 0, 0, 0, 0, 0}
		putAddress(p[8:], 0, msf)
	case 2: // the raw table: first track, last track, lead-out, track 1
		p = []byte{0, 0, 1, 1}
		for _, point := range []uint8{0xa0, 0xa1, 0xa2, 1} {
			e := [11]byte{0: 1, 1: trackData, 3: point}
			switch point {
			case 0xa0, 0xa1:
				e[8] = 1
			case 0xa2:
				putAddress(e[7:], d.blocks(), true)
			case 1:
				putAddress(e[7:], 0, true)
			}
			p = append(p, e[:]...)
		}
	default:
		c.failField(2)
		return
	}
	binary.BigEndian.PutUint16(p, uint16(len(p)-2))
	c.reply(p, c.allocation10())
}

// Features and profiles (MMC-6, sections 5.3 and 5.4).
const (
	profileCD        = 0x0008
	profileDVD       = 0x0010
	featureProfiles  = 0x0000
	featureCore      = 0x0001
	featureMorphing  = 0x0002
	featureRemovable = 0x0003
	featureRandom    = 0x0010
	featureMultiRead = 0x001d
	featureCDRead    = 0x001e
	featureDVDRead   = 0x001f
	featurePower     = 0x0100
	featureTimeout   = 0x0105
)

// profile is that of the medium in the drive, 0 without one.
func (d *CDROM) profile() uint16 {
	switch {
	case d.ready() != senseNone:
		return 0
	case d.image.Size() > maxCD:
		return profileDVD
	}
	return profileCD
}

// configuration serves GET CONFIGURATION (MMC-6, section 6.6).
func (d *CDROM) configuration(c *Command) {
	const persistent, current = 2, 1
	mode, start := c.CDB[1]&3, binary.BigEndian.Uint16(c.CDB[2:])
	profile := d.profile()
	is := func(p uint16) uint8 {
		if p != 0 && p == profile {
			return current
		}
		return 0
	}
	loaded := is(profile)
	features := []struct {
		code  uint16
		flags uint8 // version in bits 2-5, persistent, current
		data  []byte
	}{
		{featureProfiles, persistent | current, []byte{0, profileDVD, is(profileDVD), 0, 0, profileCD, is(profileCD), 0}},
		{featureCore, 2<<2 | persistent | current, []byte{0, 0, 0, 2, 1, 0, 0, 0}}, // ATAPI; INQUIRY as of MMC-4
		{featureMorphing, 1<<2 | persistent | current, []byte{2, 0, 0, 0}},         // GET EVENT STATUS NOTIFICATION polled
		{featureRemovable, 0<<2 | persistent | current, []byte{0x29, 0, 0, 0}},     // tray, ejects, locks
		{featureRandom, loaded, []byte{0, 0, cdBlock >> 8, 0, 0, 1, 0, 0}},
		{featureMultiRead, is(profileCD), nil},
		{featureCDRead, 2<<2 | is(profileCD), []byte{0, 0, 0, 0}},
		{featureDVDRead, is(profileDVD), nil},
		{featurePower, persistent | current, nil},
		{featureTimeout, persistent | current, nil},
	}
	p := make([]byte, 8, 128)
	binary.BigEndian.PutUint16(p[6:], profile)
	if mode == 3 {
		c.failField(1)
		return
	}
	for _, f := range features {
		switch {
		case mode == 2 && f.code != start, mode != 2 && f.code < start, mode == 1 && f.flags&current == 0:
			continue
		}
		p = append(p, uint8(f.code>>8), uint8(f.code), f.flags, uint8(len(f.data)))
		p = append(p, f.data...)
	}
	binary.BigEndian.PutUint32(p, uint32(len(p)-4))
	c.reply(p, c.allocation10())
}

// eventStatus serves GET EVENT STATUS NOTIFICATION, polled, of the class of media events (MMC-6, section 6.7).
func (d *CDROM) eventStatus(c *Command) {
	const classMedia = 4
	if c.CDB[1]&1 == 0 { // only polling
		c.failField(1)
		return
	}
	if c.CDB[4]&(1<<classMedia) == 0 {
		c.reply([]byte{0, 2, 0x80, 1 << classMedia}, c.allocation10())
		return
	}
	p := []byte{0, 6, classMedia, 1 << classMedia, d.event, 0, 0, 0}
	if d.open {
		p[5] |= 1
	} else if d.image != nil {
		p[5] |= 2
	}
	if c.allocation10() >= len(p) {
		d.event = eventNone
	}
	c.reply(p, c.allocation10())
}

// mechanism serves MECHANISM STATUS (MMC-6, section 6.11).
func (d *CDROM) mechanism(c *Command) {
	p := [8]byte{}
	if d.open {
		p[1] = 0x10
	}
	c.reply(p[:], int(binary.BigEndian.Uint16(c.CDB[8:])))
}

// discInfo serves READ DISC INFORMATION (MMC-6, section 6.21): complete, one session with one track.
func (d *CDROM) discInfo(c *Command) {
	if c.CDB[1]&7 != 0 {
		c.failField(1)
		return
	}
	p := [34]byte{1: 32, 2: 0x0e, 3: 1, 4: 1, 5: 1, 6: 1, 7: 0x20}
	for i := 16; i < 24; i++ {
		p[i] = 0xff // no lead-in or lead-out can follow
	}
	c.reply(p[:], c.allocation10())
}

// trackInfo serves READ TRACK INFORMATION (MMC-6, section 6.26).
func (d *CDROM) trackInfo(c *Command) {
	number := binary.BigEndian.Uint32(c.CDB[2:])
	switch kind := c.CDB[1] & 3; {
	case kind == 0 && uint64(number) >= d.blocks(), kind != 0 && number != 1:
		c.failField(2)
		return
	}
	p := [36]byte{1: 34, 2: 1, 3: 1, 5: 4, 6: 1}
	binary.BigEndian.PutUint32(p[24:], uint32(d.blocks()))
	c.reply(p[:], c.allocation10())
}

// dvdStructure serves READ DVD STRUCTURE (MMC-6, section 6.22): of a DVD, its layer, and that it is free of copy protection.
func (d *CDROM) dvdStructure(c *Command) {
	allocation := int(binary.BigEndian.Uint16(c.CDB[8:]))
	if d.profile() != profileDVD {
		c.fail(Sense{keyIllegal, 0x30, 0x02}) // cannot read medium: incompatible format
		return
	}
	if c.CDB[6] != 0 { // layer
		c.failField(6)
		return
	}
	switch c.CDB[7] {
	case 0: // physical format
		const firstSector = 0x030000
		p := make([]byte, 4+2048)
		binary.BigEndian.PutUint16(p, uint16(len(p)-2))
		p[4], p[5], p[6] = 0x01, 0x0f, 0x01 // DVD-ROM, 12 cm, one layer of embossed data
		binary.BigEndian.PutUint32(p[8:], firstSector)
		binary.BigEndian.PutUint32(p[12:], uint32(firstSector+d.blocks()-1))
		c.reply(p, allocation)
	case 1: // copyright
		c.reply([]byte{0, 6, 0, 0, 0, 0, 0, 0}, allocation)
	default:
		c.failField(7)
	}
}

func (d *CDROM) modes() modeData {
	m := modeData{}
	recovery := make([]byte, 6)
	capabilities := make([]byte, 20)
	capabilities[0] = 0x3b                               // reads CD-R, CD-RW, method 2, DVD-ROM, DVD-R
	capabilities[2] = 0x70                               // mode 2 forms, multi-session
	capabilities[4] = 0x29                               // tray, ejects, locks
	binary.BigEndian.PutUint16(capabilities[6:], 50*176) // kB/s
	binary.BigEndian.PutUint16(capabilities[10:], 2048)  // kB of buffer
	binary.BigEndian.PutUint16(capabilities[12:], 50*176)
	if d.locked {
		capabilities[4] |= 0x02
	}
	m.pages = []modePage{
		{modeErrorRecovery, recovery, recovery, []byte{0xff, 0xff}},
		{modeCapabilities, capabilities, capabilities, nil},
	}
	return m
}

func (d *CDROM) modeSense(c *Command) { modeSense(c, d.modes()) }

// modeSelect takes nothing over: retries, which is all that may be chosen, do not exist.
func (d *CDROM) modeSelect(c *Command) { modeSelect(c, d.modes(), func(uint8, []byte) {}) }
