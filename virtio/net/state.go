package net

import "github.com/sharevm/vmm/vmm/state"

const (
	stateName    = "virtio-net"
	stateVersion = 1
)

// Save appends what the driver has changed.
func (d *Device) Save(w *state.Writer) {
	w.Version(stateName, stateVersion)
	w.Bool(d.active.Load() != nil || d.restored)
	w.U64(d.accepts)
	w.U16(uint16(d.running))
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Bytes(d.mac[:])
	w.Bool(d.announce)
}

// Restore takes back what Save wrote. Whether the cable is plugged in is the new machine's own affair.
func (d *Device) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	active := r.Bool()
	accepts := r.U64()
	running := int(r.U16())
	mac := r.Bytes(len(d.mac))
	announce := r.Bool()
	switch {
	case r.Err() != nil:
	case accepts&^guestOffloadFeatures != 0:
		r.Fail("virtio-net: features %#x are no offloads", accepts&^guestOffloadFeatures)
	case running < 1 || running > len(d.pairs):
		r.Fail("virtio-net: %d pairs of queues in use, of %d", running, len(d.pairs))
	case len(mac) != len(d.mac):
		r.Fail("virtio-net: MAC address of %d bytes", len(mac))
	}
	if r.Err() != nil {
		return r.Err()
	}
	d.accepts, d.running, d.restored = accepts, running, active
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(d.mac[:], mac)
	d.announce = announce
	return nil
}
