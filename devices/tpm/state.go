package tpm

import "github.com/sharevm/vmm/vmm/state"

const (
	stateName    = "tpm"
	stateVersion = 1
)

// Pause implements state.Device: a command that is being carried out completes first, one that waits goes on waiting.
func (d *Device) Pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = true
	for d.busy {
		d.rest.Wait()
	}
}

// Resume implements state.Device.
func (d *Device) Resume() {
	d.mu.Lock()
	d.paused = false
	d.mu.Unlock()
	d.wake()
}

// Save implements state.Device. What the backend remembers is not part of it.
func (d *Device) Save(w *state.Writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.Bool(d.granted)
	w.Bool(d.idle)
	w.Bool(d.failed)
	w.Bool(d.cancel)
	w.Bytes(d.command)
	w.Bytes(d.buffer[:])
}

// Restore implements state.Device.
func (d *Device) Restore(r *state.Reader) error {
	d.Pause()
	r.Version(stateName, stateVersion)
	granted, idle, failed, cancel := r.Bool(), r.Bool(), r.Bool(), r.Bool()
	command, buffer := r.Bytes(BufferSize), r.Bytes(BufferSize)
	if r.Err() == nil && len(buffer) != BufferSize {
		r.Fail("tpm: a buffer of %d bytes, must be %d", len(buffer), BufferSize)
	}
	if n := len(command); r.Err() == nil && n != 0 && (n < headerSize || idle) {
		r.Fail("tpm: an impossible command of %d bytes", n)
	}
	if err := r.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.granted, d.idle, d.failed, d.cancel = granted, idle, failed, cancel
	d.command = d.pending[:copy(d.pending[:], command)]
	copy(d.buffer[:], buffer)
	return nil
}
