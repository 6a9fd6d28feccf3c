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
	if d.keyboard.timer != nil {
		d.keyboard.timer.Stop()
		d.keyboard.rest.Stop()
	}
}

// Resume implements state.Device.
func (d *Device) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = false
	d.update()
	d.keyboard.schedule(d.keyboard.delay())
	d.load()
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
	for _, v := range []bool{d.device, d.released, d.displaced} {
		w.Bool(v)
	}
	w.U8(d.displacedByte)
	w.U8(d.displacedFlags)
	d.keyboard.save(w)
	d.mouse.save(w)
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
	q := New(Config{}) // takes what may be wrong
	q.device, q.released, q.displaced = r.Bool(), r.Bool(), r.Bool()
	q.displacedByte, q.displacedFlags = r.U8(), r.U8()
	q.keyboard.restore(r)
	q.mouse.restore(r)
	if r.Err() == nil && q.displacedFlags&^statusAux != 0 {
		r.Fail("i8042: flags %#x of the byte that waits", q.displacedFlags)
	}
	if err := r.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	q.keyboard.timer, q.keyboard.rest = d.keyboard.timer, d.keyboard.rest
	d.keyboard, d.mouse = q.keyboard, q.mouse
	d.device, d.released, d.displaced = q.device, q.released, q.displaced
	d.displacedByte, d.displacedFlags = q.displacedByte, q.displacedFlags
	copy(d.ram[:], ram)
	d.status, d.data, d.pending, d.output = status, data, pending, output
	d.update()
	return nil
}
