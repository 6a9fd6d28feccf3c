package ata

// Subcommands of SET FEATURES (ATA8-ACS, section 7.50).
const (
	featureEnableCache      = 0x02
	featureTransferMode     = 0x03
	featureDisableLookAhead = 0x55
	featureDisableRevert    = 0x66
	featureDisableCache     = 0x82
	featureEnableLookAhead  = 0xaa
	featureEnableRevert     = 0xcc
)

// Transfer modes (ATA8-ACS, table 71): a kind in the upper bits, a number in the lower three.
const (
	modePIODefault = 0x00
	modePIO        = 0x08
	modeMultiword  = 0x20
	modeUltra      = 0x40
)

// validTransfer says whether a drive has a transfer mode.
func validTransfer(m uint8) bool {
	n := m & 7
	switch m &^ 7 {
	case modePIODefault:
		return n <= 1
	case modePIO:
		return n <= 4
	case modeMultiword:
		return n <= 2
	case modeUltra:
		return n <= 6
	}
	return false
}

func (d *Disk) setFeatures(c *Command, data [][]byte) {
	if c.Features&0xff == featureDisableCache { // what the cache holds becomes durable first
		if d.flush(c, data); c.Result.Status&StatusError != 0 {
			return
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch c.Features & 0xff {
	case featureEnableCache:
		if d.cfg.WriteThrough || d.cfg.ReadOnly {
			c.Fail(ErrorAbort)
			return
		}
		d.mode.cache = true
	case featureDisableCache:
		d.mode.cache = false
	case featureTransferMode:
		m := uint8(c.Count)
		if !validTransfer(m) {
			c.Fail(ErrorAbort)
			return
		}
		if m&^7 == modeMultiword || m&^7 == modeUltra {
			d.mode.transfer = m
		}
	case featureEnableLookAhead, featureDisableLookAhead:
		d.mode.lookAhead = c.Features&0xff == featureEnableLookAhead
	case featureEnableRevert, featureDisableRevert:
	default:
		c.Fail(ErrorAbort)
		return
	}
	c.succeed()
}

func (d *Disk) setMultiple(c *Command, _ [][]byte) {
	n := uint8(c.Count)
	if n > maxMultiple || n&(n-1) != 0 {
		c.Fail(ErrorAbort)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mode.multiple = n
	c.succeed()
}

// initializeParameters sets the geometry of CHS addresses (ATA/ATAPI-5, section 8.16).
func (d *Disk) initializeParameters(c *Command, _ [][]byte) {
	n := uint8(c.Count)
	if n == 0 {
		c.Fail(ErrorAbort)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mode.heads, d.mode.perTrack = c.Device&deviceHead+1, n
	c.succeed()
}

// diagnose is EXECUTE DEVICE DIAGNOSTIC, which leaves the signature. Its passing is told in the error register, without an error.
func (d *Disk) diagnose(c *Command, _ [][]byte) {
	c.Result = signature()
	c.succeed()
}

// Answers of CHECK POWER MODE (ATA8-ACS, table 21).
const (
	powerStandby = 0x00
	powerActive  = 0xff
)

// standby takes the disk to rest: everything is durable then.
func (d *Disk) standby(c *Command, data [][]byte) {
	if d.flush(c, data); c.Result.Status&StatusError != 0 {
		return
	}
	// STANDBY itself only sets a timer, where it is given one.
	if later := (c.Opcode == opStandby || c.Opcode == 0x96) && c.Count&0xff != 0; !later {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.mode.standby = true
	}
}

func (d *Disk) idle(c *Command, _ [][]byte) {
	d.wake()
	c.succeed()
}

// wake ends a rest.
func (d *Disk) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mode.standby = false
}

func (d *Disk) checkPower(c *Command, _ [][]byte) {
	c.Result.Count = powerActive
	if d.look().standby {
		c.Result.Count = powerStandby
	}
	c.succeed()
}
