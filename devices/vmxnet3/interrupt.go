package vmxnet3

import "github.com/sharevm/vmm/vmm/memory/shared"

// interrupt is one of the card's interrupts.
type interrupt struct {
	masked  bool
	pending bool
}

// fire raises an interrupt. d.mu is held.
func (d *Device) fire(v int) {
	if v < vectors {
		d.intr[v].pending = true
		d.deliver(v)
	}
}

// deliver sends an interrupt that is pending and not masked. Those of a driver without MSI-X all go the one way that it has. d.mu is held.
func (d *Device) deliver(v int) {
	i := &d.intr[v]
	if !i.pending || i.masked || !d.active || d.disabled() {
		return
	}
	i.pending = false
	i.masked = d.setup.autoMask
	switch {
	case d.msix.Enabled():
		d.msix.Fire(v)
	case d.msi.Enabled():
		d.msi.Fire(0)
	default:
		d.pin(true)
	}
}

// disabled says whether the driver has switched all interrupts off in the shared area.
func (d *Device) disabled() bool {
	s, err := d.mem.Slice(d.address, sharedSize)
	return err != nil || shared.Load32(s, offIntrCtrl)&intrDisableAll != 0
}

func (d *Device) pin(high bool) {
	if d.asserted != high {
		d.asserted = high
		d.function.SetINTx(high)
	}
}

// event tells the driver of what is not about frames. d.mu is held.
func (d *Device) event(bits uint32) {
	if !d.active {
		return
	}
	if s, err := d.mem.Slice(d.address, sharedSize); err == nil {
		shared.Store32(s, offECR, shared.Load32(s, offECR)|bits)
		d.fire(d.setup.eventIntr)
	}
}

// acknowledge takes events back that the driver has seen.
func (d *Device) acknowledge(bits uint32) {
	if s, err := d.mem.Slice(d.address, sharedSize); err == nil && d.active {
		shared.Store32(s, offECR, shared.Load32(s, offECR)&^bits)
	}
}
