package ata

// SMART (ATA8-ACS, section 7.54): subcommands in the features register, and what the address has to hold.
const (
	smartReadData    = 0xd0
	smartThresholds  = 0xd1
	smartAutosave    = 0xd2
	smartOffline     = 0xd4
	smartReadLog     = 0xd5
	smartEnable      = 0xd8
	smartDisable     = 0xd9
	smartStatus      = 0xda
	smartMagic       = 0xc24f // mid and high
	smartLogSummary  = 0x01
	smartLogSelfTest = 0x06
)

// smartAttributes are the attributes of a disk that nothing ails: identifiers, flags, value, worst, raw value and threshold.
var smartAttributes = [...]struct {
	id               uint8
	flags            uint16
	value, threshold uint8
}{
	{5, 0x33, 100, 10},   // reallocated sectors
	{9, 0x32, 100, 0},    // power-on hours
	{12, 0x32, 100, 0},   // power cycles
	{197, 0x12, 100, 0},  // pending sectors
	{198, 0x10, 100, 0},  // uncorrectable sectors
	{199, 0x3e, 200, 0},  // CRC errors
	{194, 0x22, 100, 50}, // temperature; its raw value is below
}

const temperature = 31 // degrees Celsius

func (d *Disk) decodeSMART(c *Command) uint8 {
	sub := c.Features & 0xff
	if c.LBA>>8&0xffff != smartMagic || !d.look().smart && sub != smartEnable {
		return ErrorAbort
	}
	switch sub {
	case smartReadData, smartThresholds:
		c.Protocol, c.Length = PIOIn, SectorSize
	case smartReadLog:
		log := c.LBA & 0xff
		if c.Count&0xff != 1 || log != 0 && log != smartLogSummary && log != smartLogSelfTest {
			return ErrorAbort
		}
		c.Protocol, c.Length = PIOIn, SectorSize
	case smartAutosave, smartOffline, smartEnable, smartDisable, smartStatus:
	default:
		return ErrorAbort
	}
	return 0
}

func (d *Disk) smart(c *Command, data [][]byte) {
	switch c.Features & 0xff {
	case smartReadData:
		c.answer(data, smartData)
		return
	case smartThresholds:
		c.answer(data, smartLimits)
		return
	case smartReadLog:
		c.answer(data, func(p page) { smartLog(p, uint8(c.LBA)) })
		return
	case smartEnable, smartDisable:
		d.mu.Lock()
		d.mode.smart = c.Features&0xff == smartEnable
		d.mu.Unlock()
	}
	// RETURN STATUS leaves the address as it was, which says that no threshold is exceeded.
	c.succeed()
}

func smartData(p page) {
	p.set(0, 16) // revision
	for i, a := range smartAttributes {
		at := p[2+12*i:]
		at[0], at[1], at[2], at[3], at[4] = a.id, byte(a.flags), byte(a.flags>>8), a.value, a.value
		if a.id == 194 {
			at[5] = temperature
		}
	}
	p[367] = 1 << 4       // offline and self tests are possible
	p[368] = 3            // attributes are saved
	p[370] = 1            // there are error logs
	p[372], p[373] = 1, 1 // minutes of self tests
	p.seal()
}

func smartLimits(p page) {
	p.set(0, 16)
	for i, a := range smartAttributes {
		p[2+12*i], p[3+12*i] = a.id, a.threshold
	}
	p.seal()
}

// smartLog fills in a log without entries.
func smartLog(p page, log uint8) {
	switch log {
	case 0: // the directory: the logs have one page each
		p.set(0, 1)
		p[2*smartLogSummary], p[2*smartLogSelfTest] = 1, 1
		return // it has no checksum
	default:
		p[0] = 1
	}
	p.seal()
}
