package scsi

// Vital product data pages (SPC-4, section 7.8; SBC-3, section 6.6).
const (
	pageSupported   = 0x00
	pageSerial      = 0x80
	pageDevice      = 0x83
	pageLimits      = 0xb0
	pageCharacter   = 0xb1
	pageProvision   = 0xb2
	standardLength  = 96
	versionSPC4     = 6
	flagsParallel   = 0x30 // byte 7: wide, synchronous
	flagQueueing    = 0x02 // byte 7
	maxIdentifier   = 64
	vendorLength    = 8
	productLength   = 16
	revisionLength  = 4
	designatorT10   = 1
	codeSetASCII    = 2
	versionSAM5     = 0x00a0
	versionSPC4Desc = 0x0460
	versionSBC3     = 0x04c0
	versionMMC6     = 0x04e0
)

// inquiry answers INQUIRY (SPC-4, section 6.6). page lays out a vital product data page behind its header, nil for one that does not exist.
func (u *unit) inquiry(c *Command, pages []byte, page func(code uint8) []byte) {
	code := c.CDB[2]
	if c.CDB[1]&1 == 0 {
		if code != 0 {
			c.failField(2)
			return
		}
		p := u.standard()
		c.reply(p[:], c.allocation6())
		return
	}
	var body []byte
	switch code {
	case pageSupported:
		body = pages
	case pageSerial:
		body = []byte(u.serial)
	case pageDevice:
		body = u.designators()
	default:
		if body = page(code); body == nil {
			c.failField(2)
			return
		}
	}
	p := append([]byte{u.kind, code, uint8(len(body) >> 8), uint8(len(body))}, body...)
	c.reply(p, c.allocation6())
}

// standard is the standard INQUIRY data.
func (u *unit) standard() (p [standardLength]byte) {
	p[0] = u.kind
	if u.removable {
		p[1] = 0x80
	}
	p[2], p[3], p[4] = versionSPC4, 2, standardLength-5
	p[7] = flagQueueing
	if u.parallel {
		p[7] |= flagsParallel
	}
	pad(p[8:], u.vendor, vendorLength)
	pad(p[16:], u.product, productLength)
	pad(p[32:], u.revision, revisionLength)
	last := versionSBC3
	if u.kind == kindCDROM {
		last = versionMMC6
	}
	for i, v := range []int{versionSAM5, versionSPC4Desc, last} {
		p[58+2*i], p[59+2*i] = uint8(v>>8), uint8(v)
	}
	return p
}

// designators is the device identification page: a T10 vendor identification made of vendor, product and serial number.
func (u *unit) designators() []byte {
	id := make([]byte, vendorLength+productLength, maxIdentifier)
	pad(id, u.vendor, vendorLength)
	pad(id[vendorLength:], u.product, productLength)
	id = append(id, u.serial...)
	return append([]byte{codeSetASCII, designatorT10, 0, uint8(len(id))}, id...)
}

// pad stores s in the first n bytes of p, filled up with spaces.
func pad(p []byte, s string, n int) {
	for i := copy(p[:n], s); i < n; i++ {
		p[i] = ' '
	}
}
