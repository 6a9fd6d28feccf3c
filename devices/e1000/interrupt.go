package e1000

import "time"

const (
	msixVectors   = 5
	itrUnit       = 256 * time.Nanosecond
	ivarEntry     = 4 // bits
	ivarValid     = 8
	ivarVector    = 7
	shortInterval = 4 // in units: so little that no timer can keep it
)

// raise adds causes and tells the driver as it has asked for. d.mu is held.
func (d *Device) raise(causes uint32) {
	if d.model.queues > 1 && causes&icrOfOther != 0 {
		causes |= icrOther
	}
	d.icr |= causes
	d.interrupt()
}

// interrupt makes pin and messages follow the causes. d.mu is held.
func (d *Device) interrupt() {
	pending := d.icr & d.reg(regIMS)
	d.signalled &= pending
	switch {
	case d.msix != nil && d.msix.Enabled():
		d.pin(false)
		d.fireVectors(pending)
	case d.msi != nil && d.msi.Enabled():
		d.pin(false)
		if pending&^d.signalled != 0 && d.moderators[0].Allow() {
			d.signalled = pending
			d.msi.Fire(0)
		}
	case pending == 0:
		d.pin(false)
	case !d.asserted && d.moderators[0].Allow():
		d.pin(true)
	}
}

func (d *Device) pin(high bool) {
	if d.asserted != high {
		d.asserted = high
		d.function.SetINTx(high)
	}
}

// fireVectors sends a message for each of the five causes that is new (82574 datasheet, sections 7.4.2 and 7.4.5).
func (d *Device) fireVectors(pending uint32) {
	ivar := d.reg(regIVAR)
	for i := range msixVectors {
		cause := uint32(icrRXQ0) << i
		entry := ivar >> (ivarEntry * i)
		if pending&cause == 0 || d.signalled&cause != 0 || entry&ivarValid == 0 {
			continue
		}
		vector := int(entry & ivarVector)
		if vector >= msixVectors || !d.moderators[vector].Allow() {
			continue
		}
		d.signalled |= cause
		d.msix.Fire(vector)
		cleared := d.reg(regEIAC) & cause
		d.icr &^= cleared
		d.signalled &^= cleared
		if d.reg(regCTRLEXT)&extEIAME != 0 {
			d.set(regIMS, d.reg(regIMS)&^(d.reg(regIAM)&cause))
		}
	}
}

// wake is for an interrupt that a moderator has held up.
func (d *Device) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interrupt()
}

// readICR returns the causes and clears them, by the rules of the 82574 (section 7.4.5) in MSI-X mode.
func (d *Device) readICR() uint32 {
	v := d.icr
	if d.model.queues == 1 {
		d.icr = 0
		d.interrupt()
		return v
	}
	if d.icr&d.reg(regIMS) != 0 {
		v |= icrAsserted
	}
	if v&icrAsserted != 0 && d.reg(regCTRLEXT)&extIAME != 0 {
		d.set(regIMS, d.reg(regIMS)&^d.reg(regIAM))
	}
	if v&icrAsserted != 0 || d.reg(regIMS) == 0 || !d.msix.Enabled() {
		d.icr = 0
	}
	d.interrupt()
	return v
}

// setInterval spaces out the interrupts of a vector, or of all where they have one; v is in units of 256 ns.
func (d *Device) setInterval(vector int, v uint32) {
	v &= 0xffff
	if v < shortInterval {
		v = 0
	}
	d.moderators[vector].SetInterval(time.Duration(v) * itrUnit)
}

// intervals sets all of them from their registers.
func (d *Device) intervals() {
	if d.msix != nil && d.msix.Enabled() {
		for i := range d.moderators {
			d.setInterval(i, d.reg(regEITR+4*uint64(i)))
		}
		return
	}
	d.setInterval(0, d.reg(regITR))
}
