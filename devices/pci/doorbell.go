package pci

import (
	"fmt"

	"github.com/sharevm/vmm/vmm/bus"
)

// SetDoorbells replaces the doorbells of BAR index, for a device whose registers become doorbells only once its driver has agreed to
// leave their value elsewhere. Addr counts from the start of the BAR. It must not be called from a hook of configuration space.
func (f *Function) SetDoorbells(index int, bells ...bus.Doorbell) error {
	r := f.root
	r.mu.Lock()
	defer r.mu.Unlock()
	b := f.bars[index]
	for _, d := range bells {
		if d.Addr >= b.size {
			return fmt.Errorf("pci: %s: doorbell at %#x is outside BAR %d", f.name, d.Addr, index)
		}
	}
	r.unbind(b)
	b.bells = bells
	if b.mapped {
		r.bind(f, index)
	}
	return nil
}

// bind rings BAR index's doorbells where it is mapped. r.mu is held.
func (r *Root) bind(f *Function, index int) {
	b := f.bars[index]
	for _, d := range b.bells {
		d.Addr += b.base
		if err := r.space(b.kind).AddDoorbell(d); err != nil {
			// The write reaches the device instead, which rings it by hand.
			f.log.Debug("doorbell is not bound", "function", f.name, "bar", index, "error", err)
			continue
		}
		b.bound = append(b.bound, d)
	}
}

// unbind undoes bind. r.mu is held.
func (r *Root) unbind(b *bar) {
	for _, d := range b.bound {
		if err := r.space(b.kind).RemoveDoorbell(d); err != nil {
			r.cfg.Log.Warn("doorbell stays behind", "error", err)
		}
	}
	b.bound = b.bound[:0]
}
