package hda

// interrupt makes INTSTS, pin and message follow the causes. d.mu is held.
func (d *Device) interrupt() {
	var status uint32
	for i := range streams {
		at := regStreams + i*streamStride
		if d.regs[at+sdSTS]&d.regs[at+sdCTL]&stsCauses != 0 {
			status |= 1 << i
		}
	}
	if d.regs[regCORBSTS]&d.regs[regCORBCTL]&corbError != 0 || d.regs[regRIRBSTS]&d.regs[regRIRBCTL]&(rirbInterrupt|rirbOverrun) != 0 ||
		d.regs[regSTATESTS]&d.regs[regWAKEEN] != 0 {
		status |= intController
	}
	control := d.get32(regINTCTL)
	pending := status & control
	if pending != 0 {
		status |= intGlobal
	}
	d.set32(regINTSTS, status)
	if control&intGlobal == 0 {
		pending = 0
	}
	if d.msi.Enabled() {
		d.pin(false)
		fresh := pending &^ d.signalled
		d.signalled = pending
		if fresh != 0 {
			d.msi.Fire(0)
		}
		return
	}
	d.signalled = 0
	d.pin(pending != 0)
}

func (d *Device) pin(high bool) {
	if d.asserted != high {
		d.asserted = high
		d.function.SetINTx(high)
	}
}
