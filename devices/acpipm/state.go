package acpipm

import "github.com/sharevm/vmm/vmm/state"

const (
	stateName    = "acpipm"
	stateVersion = 1
)

// Pause implements state.Device. The PM timer counts on, as the processors' own clocks do.
func (d *Device) Pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settle()
	d.paused = true
	if d.timer != nil {
		d.timer.Stop()
	}
}

// Resume implements state.Device.
func (d *Device) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = false
	d.settle()
	d.update()
}

// Save implements state.Device. A restored PM timer goes on from the saved count.
func (d *Device) Save(w *state.Writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.U16(d.status)
	w.U16(d.enable)
	w.U16(d.control)
	w.Bytes(d.gpe[:])
	w.Bytes(d.apm[:])
	w.U8(d.reset)
	w.U64(d.count)
}

// Restore implements state.Device.
func (d *Device) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	status, enable, control := r.U16(), r.U16(), r.U16()
	gpe, apm := r.Bytes(len(d.gpe)), r.Bytes(len(d.apm))
	reset, count := r.U8(), r.U64()
	if r.Err() == nil && (enable&^enableBits != 0 || control&^(controlKept|controlSCI) != 0 || reset&^resetKept != 0 || len(gpe) != len(d.gpe) || len(apm) != len(d.apm)) {
		r.Fail("acpipm: enable %#x, control %#x, reset %#x, %d bytes of events, %d of APM", enable, control, reset, len(gpe), len(apm))
	}
	if err := r.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status, d.enable, d.control, d.reset = status, enable, control, reset
	copy(d.gpe[:], gpe)
	copy(d.apm[:], apm)
	d.count, d.origin, d.start = count, count, d.cfg.Clock.Now()
	d.update()
	return nil
}
