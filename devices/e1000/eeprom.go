package e1000

// EECD and EERD (82574 datasheet, sections 10.2.2.3 and 10.2.2.4; 317453, sections 13.4.3 and 13.4.4).
const (
	eecdClock    = 1 << 0
	eecdSelect   = 1 << 1
	eecdIn       = 1 << 2 // to the EEPROM
	eecdOut      = 1 << 3
	eecdRequest  = 1 << 6
	eecdGrant    = 1 << 7
	eecdPresent  = 1 << 8
	eecdAutoRead = 1 << 9 // 82574: the card has read it
	eecdWritable = eecdClock | eecdSelect | eecdIn | eecdRequest

	eerdStart = 1 << 0

	eepromWords    = 64
	eepromChecksum = 0xbaba // of all words
	addressBits    = 6
	microwireRead  = 6 // start bit and opcode
	microwireBits  = 3
)

// makeEEPROM returns the contents for a card (82574 datasheet, section 6; 317453, section 5.6).
func makeEEPROM(m *model, mac [6]byte) (words [eepromWords]uint16) {
	for i := range 3 {
		words[i] = uint16(mac[2*i]) | uint16(mac[2*i+1])<<8
	}
	words[0x03] = 0x0200 // compatibility: a LOM is it not
	words[0x05] = 0x1000 // image version
	words[0x08], words[0x09] = 0xffff, 0xffff
	words[0x0a] = 0x4408
	words[0x0b], words[0x0c] = subsystems[m.device], vendorVMware
	words[0x0d], words[0x0e] = m.device, vendorIntel
	words[0x0f] = 0x3040 // pause both ways
	words[0x37] = 0xffff // no other address
	sum := uint16(0)
	for _, w := range words[:eepromWords-1] {
		sum += w
	}
	words[eepromWords-1] = eepromChecksum - sum
	return words
}

// microwire is the serial EEPROM of an 82545EM as its four wires show it (317453, section 5.3.1).
type microwire struct {
	shift uint32 // bits that came in, the start bit first
	out   uint32 // bits to go out, above a marker
}

// clock is a rising edge of the clock while the EEPROM is selected.
func (m *microwire) clock(in bool, words *[eepromWords]uint16) {
	if m.out > 1 {
		m.out >>= 1
		return
	}
	if m.shift == 0 && !in {
		return // waiting for the start bit
	}
	m.shift <<= 1
	if in {
		m.shift |= 1
	}
	if m.shift>>(microwireBits+addressBits-1) == 0 {
		return
	}
	if m.shift>>addressBits == microwireRead {
		m.out = turn(words[m.shift%eepromWords])
	}
	m.shift = 0 // what else there is, writing above all, is refused
}

// turn returns 16 bits in reverse behind a zero, with a marker above.
func turn(w uint16) uint32 {
	v := uint32(1)
	for i := range 16 {
		v = v<<1 | uint32(w>>i)&1
	}
	return v << 1
}

// level is the state of the wire from the EEPROM.
func (m *microwire) level() bool { return m.out > 1 && m.out&1 != 0 }

// readEECD and writeEECD are the wires.
func (d *Device) readEECD() uint32 {
	v := d.reg(regEECD)&eecdWritable | eecdPresent | d.model.eecd
	if v&eecdRequest != 0 {
		v |= eecdGrant
	}
	if d.wire.level() {
		v |= eecdOut
	}
	return v
}

func (d *Device) writeEECD(v uint32) {
	old := d.reg(regEECD)
	d.set(regEECD, v&eecdWritable)
	switch {
	case v&eecdSelect == 0:
		d.wire = microwire{}
	case v&^old&eecdClock != 0:
		d.wire.clock(v&eecdIn != 0, &d.eeprom)
	}
}

// writeEERD reads a word by the short way.
func (d *Device) writeEERD(v uint32) {
	address := v >> d.model.eerdAddress & (1<<(16-d.model.eerdAddress) - 1)
	v &= 0xffff
	if v&eerdStart != 0 {
		v |= d.model.eerdDone
		if address < eepromWords {
			v |= uint32(d.eeprom[address]) << 16
		}
	}
	d.set(regEERD, v)
}
