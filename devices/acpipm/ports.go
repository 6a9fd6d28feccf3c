package acpipm

// block is the PM block.
type block struct{ d *Device }

// Read implements bus.Device.
func (b block) Read(offset uint64, p []byte) {
	d := b.d
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settle()
	for i := range p {
		p[i] = d.readByte(offset + uint64(i))
	}
}

// Write implements bus.Device.
func (b block) Write(offset uint64, p []byte) { b.d.notify(b.d.writeBlock(offset, p)) }

func (d *Device) readByte(offset uint64) uint8 {
	switch {
	case offset < regEnable:
		return half(d.status, offset)
	case offset < regControl:
		return half(d.enable, offset)
	case offset < regControl+2:
		return half(d.control, offset)
	case offset >= regTimer && offset < regTimer+4:
		return uint8(d.count >> (8 * (offset - regTimer)))
	case offset >= regGPE && offset < regGPE+2*gpeBytes:
		return d.gpe[offset-regGPE]
	case offset == regSMI && d.cfg.NoSMM:
		return smiByAPM
	}
	return 0
}

// half is the byte of a 16-bit register at an offset in the block.
func half(v uint16, offset uint64) uint8 { return uint8(v >> (8 * (offset % 2))) }

// writeBlock returns the event that the write is, or 0.
func (d *Device) writeBlock(offset uint64, p []byte) PowerEvent {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settle()
	var event PowerEvent
	for i, v := range p {
		at := offset + uint64(i)
		wide, mask := uint16(v)<<(8*(at%2)), uint16(0xFF)<<(8*(at%2))
		switch {
		case at < regEnable:
			d.status &^= wide // ones clear
		case at < regControl:
			d.enable = d.enable&^mask | wide&enableBits
		case at < regControl+2:
			d.control = d.control&^(mask&controlKept) | wide&controlKept
			if wide&controlSleep != 0 {
				event = d.sleep()
			}
		case at >= regGPE && at < regGPE+gpeBytes:
			d.gpe[at-regGPE] &^= v
		case at >= regGPE+gpeBytes && at < regGPE+2*gpeBytes:
			d.gpe[at-regGPE] = v
		}
	}
	d.update()
	return event
}

// sleep is the event that SLP_EN with the present SLP_TYP means; 0 for a state that the board does not have.
func (d *Device) sleep() PowerEvent {
	switch t := uint8(d.control & controlSleepType >> sleepTypeShift); {
	case t == 0 && !d.cfg.OffByZero:
		return 0
	case t == 0, t == d.cfg.S5:
		return SoftOff
	case t == d.cfg.S4:
		return Hibernate
	case t == d.cfg.S3:
		return Suspend
	}
	return 0
}

// apmPorts are the APM control and status ports. On a PC a write to the first enters system management mode; here the
// two commands that a guest knows from the FADT are carried out directly.
type apmPorts struct{ d *Device }

// Read implements bus.Device.
func (a apmPorts) Read(offset uint64, p []byte) {
	a.d.mu.Lock()
	defer a.d.mu.Unlock()
	for i := range p {
		p[i] = a.d.apm[(offset+uint64(i))%SMISize]
	}
}

// Write implements bus.Device.
func (a apmPorts) Write(offset uint64, p []byte) {
	if a.d.writeAPM(offset, p) && a.d.cfg.TakenOver != nil {
		a.d.cfg.TakenOver()
	}
}

// writeAPM says whether the guest took over the fixed hardware.
func (d *Device) writeAPM(offset uint64, p []byte) (taken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, v := range p {
		port := (offset + uint64(i)) % SMISize
		d.apm[port] = v
		switch {
		case port != 0:
		case v == d.cfg.Enable:
			d.control |= controlSCI
			taken = true
		case v == d.cfg.Disable:
			d.control &^= controlSCI
		}
	}
	d.update()
	return taken
}

// resetPort is the reset control register: a rising RST_CPU resets the board, whatever kind of reset the other bits ask for.
type resetPort struct{ d *Device }

// Read implements bus.Device.
func (r resetPort) Read(_ uint64, p []byte) {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	for i := range p {
		p[i] = r.d.reset
	}
}

// Write implements bus.Device.
func (r resetPort) Write(_ uint64, p []byte) { r.d.notify(r.d.writeReset(p)) }

func (d *Device) writeReset(p []byte) (event PowerEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range p {
		if v&^d.reset&resetCPU != 0 {
			event = Reset
		}
		d.reset = v & resetKept
	}
	return event
}
