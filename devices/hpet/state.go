package hpet

import "github.com/sharevm/vmm/vmm/state"

const (
	stateName    = "hpet"
	stateVersion = 1
)

// Pause implements state.Device.
func (d *Device) Pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paused {
		return
	}
	d.paused = true
	d.count = d.now() // the counter stands still
	d.start = d.cfg.Clock.Now()
	for i := range d.timers {
		d.timers[i].timer.Stop()
	}
}

// Resume implements state.Device.
func (d *Device) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = false
	d.start = d.cfg.Clock.Now()
	for i := range d.timers {
		d.wait(i)
	}
	d.drive()
}

// Close stops the timers.
func (d *Device) Close() error {
	d.Pause()
	return nil
}

// Save implements state.Device.
func (d *Device) Save(w *state.Writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	for _, v := range []uint64{d.config, d.status, d.count} {
		w.U64(v)
	}
	for i := range d.timers {
		t := &d.timers[i]
		for _, v := range []uint64{t.config, t.value, t.period, t.next} {
			w.U64(v)
		}
		w.Bool(t.armed)
	}
}

// Restore implements state.Device.
func (d *Device) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	config, status, count := r.U64(), r.U64(), r.U64()
	var timers [Comparators]comparator
	for i := range timers {
		t := &timers[i]
		t.config, t.value, t.period, t.next, t.armed = r.U64(), r.U64(), r.U64(), r.U64(), r.Bool()
		if r.Err() == nil && (t.config&^uint64(timerBits) != 0 || t.config&timer32 != 0 && t.value|t.period > 1<<32-1) {
			r.Fail("hpet: comparator %d with configuration %#x, value %#x", i, t.config, t.value)
		}
	}
	if r.Err() == nil && (config&^uint64(confBits) != 0 || status>>Comparators != 0) {
		r.Fail("hpet: configuration %#x, status %#x", config, status)
	}
	if err := r.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = true // until Resume
	legacy := (d.config^config)&confLegacy != 0
	d.config, d.status, d.count, d.start = config, status, count, d.cfg.Clock.Now()
	for i := range timers {
		timers[i].timer = d.timers[i].timer
		d.timers[i] = timers[i]
	}
	if legacy && d.cfg.Legacy != nil {
		d.cfg.Legacy(config&confLegacy != 0)
	}
	return nil
}
