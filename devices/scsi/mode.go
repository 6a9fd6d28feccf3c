package scsi

import "encoding/binary"

// Mode pages (SPC-4, section 7.5; SBC-3, section 6.5; MMC-6, section 7).
const (
	modeErrorRecovery = 0x01
	modeCaching       = 0x08
	modeControl       = 0x0a
	modeExceptions    = 0x1c
	modeCapabilities  = 0x2a
	modeAll           = 0x3f

	controlCurrent    = 0 // what MODE SENSE may ask for
	controlChangeable = 1
	controlDefault    = 2
	controlSaved      = 3
)

// modePage is a mode page: its bytes behind code and length, as they are, as they are after power-on, and the bits that a guest may change.
type modePage struct {
	code                         uint8
	current, initial, changeable []byte
}

// modeData is what MODE SENSE answers with.
type modeData struct {
	mediumType, specific uint8
	descriptor           []byte // block descriptor, nil without
	pages                []modePage
}

// modeSense answers MODE SENSE (6) and (10) (SPC-4, sections 6.11 and 6.12).
func modeSense(c *Command, m modeData) {
	code, control := c.CDB[2]&0x3f, c.CDB[2]>>6
	if sub := c.CDB[3]; sub != 0 && sub != 0xff {
		c.failField(3)
		return
	}
	if control == controlSaved {
		c.fail(senseBadSaving)
		return
	}
	if c.CDB[1]&0x08 != 0 { // no block descriptors
		m.descriptor = nil
	}
	p := make([]byte, 8, 128)
	p = append(p, m.descriptor...)
	found := false
	for _, page := range m.pages {
		if code != modeAll && code != page.code {
			continue
		}
		found = true
		body := map[uint8][]byte{controlCurrent: page.current, controlChangeable: page.changeable, controlDefault: page.initial}[control]
		p = append(p, page.code, uint8(len(page.current)))
		p = append(p, body...)
		p = append(p, make([]byte, len(page.current)-len(body))...)
	}
	if !found {
		c.failField(2)
		return
	}
	if c.CDB[0] == opModeSense10 {
		binary.BigEndian.PutUint16(p, uint16(len(p)-2))
		p[2], p[3] = m.mediumType, m.specific
		binary.BigEndian.PutUint16(p[6:], uint16(len(m.descriptor)))
		c.reply(p, c.allocation10())
		return
	}
	p = p[4:]
	p[0], p[1], p[2], p[3] = uint8(len(p)-1), m.mediumType, m.specific, uint8(len(m.descriptor))
	c.reply(p, int(c.CDB[4]))
}

// maxModeList bounds the parameter list of MODE SELECT in bytes.
const maxModeList = 1024

// modeSelect serves MODE SELECT (6) and (10) (SPC-4, sections 6.9 and 6.10): set is called with the body of each page that differs from its
// current value in changeable bits only, once all have been found in order.
func modeSelect(c *Command, m modeData, set func(code uint8, body []byte)) {
	header, length := 4, int(c.CDB[4])
	if c.CDB[0] == opModeSelect10 {
		header, length = 8, c.allocation10()
	}
	if c.CDB[1]&1 != 0 { // saving
		c.failField(1)
		return
	}
	if length == 0 {
		return
	}
	list := make([]byte, min(length, maxModeList))
	if length < header || length > maxModeList || !c.copyIn(list, 0) {
		c.fail(senseListLength)
		return
	}
	c.Moved = length
	descriptors := int(list[3])
	if header == 8 {
		descriptors = int(binary.BigEndian.Uint16(list[6:]))
	}
	if header+descriptors > length {
		c.fail(senseListLength)
		return
	}
	pages := list[header+descriptors:]
	for rest := pages; len(rest) > 0; {
		page, body := m.page(rest)
		if page == nil || !page.accepts(body) {
			c.fail(senseBadParameter)
			return
		}
		rest = rest[2+len(body):]
	}
	for rest := pages; len(rest) > 0; {
		page, body := m.page(rest)
		set(page.code, body)
		rest = rest[2+len(body):]
	}
}

// page returns the page at the start of p and its body there, nil for one that does not exist or is of another length.
func (m modeData) page(p []byte) (*modePage, []byte) {
	for i := range m.pages {
		page := &m.pages[i]
		if len(p) >= 2 && p[0]&0x7f == page.code && int(p[1]) == len(page.current) && len(p) >= 2+len(page.current) {
			return page, p[2 : 2+len(page.current)]
		}
	}
	return nil, nil
}

// accepts says whether body changes only what may be changed.
func (m *modePage) accepts(body []byte) bool {
	for i, v := range body {
		may := uint8(0)
		if i < len(m.changeable) {
			may = m.changeable[i]
		}
		if (v^m.current[i])&^may != 0 {
			return false
		}
	}
	return true
}
