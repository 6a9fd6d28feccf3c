package i8042

import "github.com/sharevm/vmm/vmm/state"

const (
	stateName    = "i8042"
	stateVersion = 1
)

// Pause implements state.Device.
func (d *Device) Pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = true
}

// Resume implements state.Device.
func (d *Device) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = false
	d.update()
}

// Save implements state.Device.
func (d *Device) Save(w *state.Writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.Bytes(d.ram[:])
	for _, v := range []uint8{d.status, d.data, d.pending, d.output} {
		w.U8(v)
	}
}

// Restore implements state.Device.
func (d *Device) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	ram := r.Bytes(ramSize)
	status, data, pending, output := r.U8(), r.U8(), r.U8(), r.U8()
	const known = statusFull | statusSystem | statusCommand | statusUnlocked | statusAux | statusTimeout
	if r.Err() == nil && (len(ram) != ramSize || status&^known != 0) {
		r.Fail("i8042: %d bytes of memory, status %#x", len(ram), status)
	}
	if err := r.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(d.ram[:], ram)
	d.status, d.data, d.pending, d.output = status, data, pending, output
	d.update()
	return nil
}
