package fwcfg

import "github.com/sharevm/vmm/vmm/state"

const (
	stateName    = "fw_cfg"
	stateVersion = 1
)

// Pause implements state.Device: the device does nothing by itself.
func (d *Device) Pause() {}

// Resume implements state.Device.
func (d *Device) Resume() {}

// Save implements state.Device. Items that never change are the configuration's.
func (d *Device) Save(w *state.Writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.U16(d.selected)
	w.U32(d.at)
	w.U32(d.high)
	for key := uint16(keyFirstFile); key < keyFirstFile+d.files; key++ {
		f := d.items[key]
		kept := f.made() || f.written != nil
		w.Bool(kept)
		if kept {
			w.Bytes(f.data)
		}
	}
}

// made says whether the item was computed, and may be other than a new computation.
func (f *item) made() bool { return f.computed && f.make == nil }

// Restore implements state.Device. The device must have the same files.
func (d *Device) Restore(r *state.Reader) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.Version(stateName, stateVersion)
	selected, at, high := r.U16(), r.U32(), r.U32()
	contents := make([][]byte, d.files)
	for i := range contents {
		f := d.items[keyFirstFile+uint16(i)]
		if !r.Bool() {
			if f.written != nil {
				r.Fail("fw_cfg: file %d is missing", i)
			}
			continue
		}
		contents[i] = r.Bytes(f.size)
		if r.Err() == nil && (len(contents[i]) != f.size || !f.computed && f.written == nil) {
			r.Fail("fw_cfg: file %d cannot have these contents", i)
		}
	}
	if err := r.Err(); err != nil {
		return err
	}
	d.selected, d.at, d.high = selected, at, high
	for i, c := range contents {
		if c != nil {
			f := d.items[keyFirstFile+uint16(i)]
			f.data, f.make = append([]byte(nil), c...), nil
		}
	}
	return nil
}
