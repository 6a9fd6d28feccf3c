package console

import "github.com/sharevm/vmm/vmm/state"

const (
	stateName    = "virtio-console"
	stateVersion = 1
)

// Save appends the control state of the ports, and how far their current output got. Bytes in the rings belong to the host.
func (d *Device) Save(w *state.Writer) {
	w.Version(stateName, stateVersion)
	w.U32(uint32(len(d.ports)))
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.ports {
		w.Bool(p.added)
		w.Bool(p.ready)
		w.Bool(p.guestOpen)
		w.U32(p.posts)
		w.U64(p.outDone)
	}
}

// Restore takes back what Save wrote, of a device with as many ports.
func (d *Device) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	if n := r.U32(); n != uint32(len(d.ports)) {
		r.Fail("virtio-console: %d ports, the machine has %d", n, len(d.ports))
	}
	type saved struct {
		added, ready, guestOpen bool
		posts                   uint32
		outDone                 uint64
	}
	ports := make([]saved, len(d.ports))
	for i := range ports {
		ports[i] = saved{r.Bool(), r.Bool(), r.Bool(), r.U32(), r.U64()}
		if s := ports[i]; s.posts >= postOpen<<1 || s.ready && !s.added {
			r.Fail("virtio-console: impossible state of port %d", i)
		}
	}
	if r.Err() != nil {
		return r.Err()
	}
	for i, p := range d.ports {
		s := ports[i]
		p.setGuestOpen(s.guestOpen)
		d.mu.Lock()
		p.added, p.ready, p.posts, p.outDone = s.added, s.ready, s.posts, s.outDone
		d.mu.Unlock()
	}
	d.restored = true
	return nil
}
