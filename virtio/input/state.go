package input

import (
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/vmm/state"
)

const (
	stateName    = "input"
	stateVersion = 1
)

// Save implements state.Device.
func (d *Device) Save(w *state.Writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.U8(d.selected)
	w.U8(d.subsel)
	w.U8(uint8(d.lit))
	w.U16(uint16(d.waiting.n))
	for i := range d.waiting.n {
		e := d.waiting.at(i)
		w.U16(uint16(e.Type))
		w.U16(uint16(e.Code))
		w.U32(uint32(e.Value))
	}
	w.U16(uint16(d.waiting.holding))
	for c, down := range d.waiting.held {
		if down {
			w.U16(uint16(c))
		}
	}
}

// Restore implements state.Device.
func (d *Device) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	selected, subsel, lit := r.U8(), r.U8(), r.U8()
	n := int(r.U16())
	if n > maxWaiting {
		r.Fail("%d events wait", n)
	}
	var b backlog
	for range n {
		if r.Err() != nil {
			break
		}
		e := input.Event{Type: input.Type(r.U16()), Code: input.Code(r.U16()), Value: int32(r.U32())}
		if e.Type > input.TypeAbs || e.Code > input.MaxCode {
			r.Fail("an event of type %d, code %d", e.Type, e.Code)
		}
		b.put(e)
	}
	holding := int(r.U16())
	if lit >= 1<<lights || b.n+2*holding > maxWaiting {
		r.Fail("lights %#x, %d keys held, %d events wait", lit, holding, b.n)
	}
	for range holding {
		c := input.Code(r.U16())
		if r.Err() != nil {
			break
		}
		if c > input.MaxCode || b.held[c] {
			r.Fail("key %d is held", c)
			break
		}
		b.hold(c, true)
	}
	if err := r.Err(); err != nil {
		return err
	}
	d.restored = true
	d.mu.Lock()
	defer d.mu.Unlock()
	d.selected, d.subsel, d.lit, d.waiting = selected, subsel, input.LEDs(lit), b
	return nil
}
