package flash

import "github.com/sharevm/vmm/vmm/state"

const (
	stateName    = "flash"
	stateVersion = 1
)

// Pause implements state.Device: the store has everything when it returns.
func (d *Device) Pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commit()
	if err := d.sync.wait(); err != nil {
		d.cfg.Log.Error("flash: the store is not durable", "error", err)
	}
}

// Resume implements state.Device.
func (d *Device) Resume() {}

// Save implements state.Device. The contents are part of the state, since a guest in the midst of an update goes on with them.
func (d *Device) Save(w *state.Writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.U8(uint8(d.mode))
	w.U8(uint8(d.step))
	w.U8(d.status)
	w.U64(d.block)
	w.U16(uint16(d.count))
	w.U16(uint16(len(d.pending)))
	for _, b := range d.pending {
		w.U64(b.at)
		w.U8(b.v)
	}
	w.Bytes(d.cfg.Contents)
}

// Restore implements state.Device. The store gets the contents.
func (d *Device) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	m, s, status := mode(r.U8()), step(r.U8()), r.U8()
	block, count := r.U64(), int(r.U16())
	pending := make([]buffered, min(r.U16(), bufferSize+1))
	size := uint64(len(d.cfg.Contents))
	for i := range pending {
		pending[i] = buffered{r.U64(), r.U8()}
		if pending[i].at >= size {
			r.Fail("flash: data for %#x", pending[i].at)
		}
	}
	contents := r.Bytes(int(size))
	if r.Err() == nil && (m >= modes || s >= steps || count+len(pending) > bufferSize || block >= size || uint64(len(contents)) != size) {
		r.Fail("flash: mode %d, step %d, %d bytes of contents", m, s, len(contents))
	}
	if err := r.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.step, d.status, d.block, d.count, d.pending = s, status, block, count, pending
	copy(d.cfg.Contents, contents)
	d.touch(0, len(contents))
	d.commit()
	d.enter(m)
	return nil
}
