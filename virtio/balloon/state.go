package balloon

import "github.com/sharevm/vmm/vmm/state"

const (
	stateName    = "balloon"
	stateVersion = 1
)

// Save implements state.Device. Statistics are not kept: their buffer is back in its queue.
func (d *Device) Save(w *state.Writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.Bytes(d.config[:])
}

// Restore implements state.Device. Any numbers will do: the host's own is a wish, and the driver's are hearsay.
func (d *Device) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	config := r.Bytes(configSize)
	if r.Err() == nil && len(config) != configSize {
		r.Fail("configuration of %d bytes", len(config))
	}
	if err := r.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(d.config[:], config)
	return nil
}
