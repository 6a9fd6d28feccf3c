package pci

import (
	"cmp"
	"fmt"
	"slices"
)

// Window is a range of addresses for BARs.
type Window struct{ Base, Size uint64 }

// Windows are the ranges that a board has for BARs, as its ACPI tables tell the guest. An empty one has no room;
// 64-bit BARs go to Mem32 when there is no Mem64.
type Windows struct{ IO, Mem32, Mem64 Window }

// Assign gives every BAR an address, as firmware would, so that a guest started without any finds all of them in place. The
// result depends on nothing but the functions: largest BARs first, then by address and index, each aligned to its size.
//
// Decoding stays off: a driver switches it on for the device that it takes over, and an operating system that
// sizes the BARs meanwhile moves nothing about.
func (r *Root) Assign(w Windows) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	type want struct {
		f     *Function
		index int
		*bar
	}
	var wants []want
	for _, f := range r.functions {
		if f == nil {
			continue
		}
		for i, b := range f.bars {
			if b != nil {
				wants = append(wants, want{f, i, b})
			}
		}
	}
	slices.SortStableFunc(wants, func(a, b want) int { return cmp.Compare(b.size, a.size) })
	next := map[*Window]uint64{&w.IO: w.IO.Base, &w.Mem32: w.Mem32.Base, &w.Mem64: w.Mem64.Base}
	for _, b := range wants {
		window := &w.Mem32
		switch {
		case b.kind == IO:
			window = &w.IO
		case b.kind >= Mem64 && w.Mem64.Size > 0:
			window = &w.Mem64
		}
		base := (next[window] + b.size - 1) &^ (b.size - 1)
		if base < next[window] || base-window.Base > window.Size || window.Size-(base-window.Base) < b.size {
			return fmt.Errorf("pci: %s: no room for BAR %d of %#x bytes in %#x+%#x", b.f.name, b.index, b.size, window.Base, window.Size)
		}
		next[window] = base + b.size
		b.f.setAddress(b.index, base)
		r.remap(b.f)
	}
	return nil
}
