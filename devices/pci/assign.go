package pci

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// Window is a range of addresses for BARs.
type Window struct{ Base, Size uint64 }

// Windows are the ranges that a board has for BARs, as its ACPI tables tell the guest. An empty one has no room;
// 64-bit BARs go to Mem32 when there is no Mem64.
type Windows struct{ IO, Mem32, Mem64 Window }

// The spaces that addresses are assigned in.
const (
	spaceIO = iota
	spaceMem32
	spaceMem64
	spaces
)

// want is a BAR or a bridge's window that needs a place.
type want struct {
	f           *Function
	index       int // of the BAR, or windowOfBridge
	space       int
	size, align uint64
}

const windowOfBridge = -1

// Assign numbers the buses and gives every BAR an address, as firmware would, so that a guest started without any finds all of them in place. The
// result depends on nothing but the functions: largest BARs first, then by address and index, each aligned to its size. Behind
// a bridge, all but prefetchable memory of 64 bits is below 4 GiB, since the bridge has no other window for it.
//
// Decoding of devices stays off: a driver switches it on for the device that it takes over, and an operating system that
// sizes the BARs meanwhile moves nothing about. Bridges forward.
func (r *Root) Assign(w Windows) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var top []*Function
	for _, f := range r.functions {
		if f != nil {
			top = append(top, f)
		}
	}
	if last := number(top, 0, 0); last >= r.cfg.Buses {
		return fmt.Errorf("pci: %d buses, of which configuration space has %d", last+1, r.cfg.Buses)
	}
	windows := [spaces]Window{w.IO, w.Mem32, w.Mem64}
	if err := r.assign(wants(top, w.Mem64.Size > 0, false), windows); err != nil {
		return err
	}
	for _, f := range top {
		f.each(func(f *Function) {
			if f.behind != nil {
				f.cfg[regCommand] |= commandIO | commandMemory | commandMaster
			}
		})
		r.remap(f)
	}
	return nil
}

// number gives the buses behind bridges their numbers, in depth; primary is the bus that the functions are on. It returns the last number used.
func number(functions []*Function, primary, last int) int {
	for _, f := range functions {
		if f.behind == nil {
			continue
		}
		last++
		secondary := last
		last = number(f.behind.functions, secondary, last)
		f.cfg[regPrimary], f.cfg[regSecondary], f.cfg[regSubordinate] = uint8(primary), uint8(secondary), uint8(last)
	}
	return last
}

// wants lists what the functions of a bus need, the largest first; wide says whether there is room above 4 GiB, and bridged that a bridge is above them.
func wants(functions []*Function, wide, bridged bool) (all []want) {
	for _, f := range functions {
		for i, b := range f.bars {
			if b == nil {
				continue
			}
			n := want{f, i, spaceMem32, b.size, b.size}
			switch {
			case b.kind == IO:
				n.space = spaceIO
			case wide && (b.kind == Mem64Prefetch || b.kind == Mem64 && !bridged):
				n.space = spaceMem64
			}
			all = append(all, n)
		}
		if f.behind == nil {
			continue
		}
		// Behind it they are packed without gaps, since each is as large as it is aligned.
		for space := range spaces {
			n := want{f: f, index: windowOfBridge, space: space, align: windowAlign(space)}
			for _, b := range wants(f.behind.functions, wide, true) {
				if b.space == space {
					n.align = max(n.align, b.align)
					n.size = (n.size+b.align-1)&^(b.align-1) + b.size
				}
			}
			if n.size = (n.size + windowAlign(space) - 1) &^ (windowAlign(space) - 1); n.size > 0 {
				all = append(all, n)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b want) int { return cmp.Compare(b.align, a.align) })
	return all
}

// windowAlign is what the bounds of a bridge's window are multiples of.
func windowAlign(space int) uint64 {
	if space == spaceIO {
		return bridgeIOAlign
	}
	return bridgeMemAlign
}

// assign places what the functions of one bus need in its windows, and what is behind its bridges in theirs.
func (r *Root) assign(all []want, windows [spaces]Window) error {
	below := map[*Function]*[spaces]Window{}
	next := [spaces]uint64{windows[0].Base, windows[1].Base, windows[2].Base}
	for _, n := range all {
		w := windows[n.space]
		base := (next[n.space] + n.align - 1) &^ (n.align - 1)
		if base < next[n.space] || base-w.Base > w.Size || w.Size-(base-w.Base) < n.size {
			what := fmt.Sprintf("BAR %d", n.index)
			if n.index == windowOfBridge {
				what = "what is behind it"
			}
			return fmt.Errorf("pci: %s: no room for %s of %#x bytes in %#x+%#x", n.f.name, what, n.size, w.Base, w.Size)
		}
		next[n.space] = base + n.size
		if n.index != windowOfBridge {
			n.f.setAddress(n.index, base)
			continue
		}
		if below[n.f] == nil {
			below[n.f] = new([spaces]Window)
		}
		below[n.f][n.space] = Window{base, n.size}
	}
	for _, n := range all {
		ws := below[n.f]
		if ws == nil {
			continue
		}
		delete(below, n.f)
		n.f.setWindows(ws)
		if err := r.assign(wants(n.f.behind.functions, ws[spaceMem64].Size > 0, true), *ws); err != nil {
			return err
		}
	}
	return nil
}

// setWindows writes a bridge's windows as firmware would; one without a size is closed, its limit below its base.
func (f *Function) setWindows(ws *[spaces]Window) {
	le := binary.LittleEndian
	ends := func(space int) (first, last uint64) {
		if w := ws[space]; w.Size > 0 {
			return w.Base, w.Base + w.Size - 1
		}
		return windowAlign(space), 0
	}
	first, last := ends(spaceIO)
	f.cfg[regIOBase], f.cfg[regIOLimit] = uint8(first>>8)&0xf0, uint8(last>>8)&0xf0
	first, last = ends(spaceMem32)
	le.PutUint16(f.cfg[regMemoryBase:], uint16(first>>16)&0xfff0)
	le.PutUint16(f.cfg[regMemoryLimit:], uint16(last>>16)&0xfff0)
	first, last = ends(spaceMem64)
	le.PutUint16(f.cfg[regPrefetchBase:], uint16(first>>16)&0xfff0|prefetchWide)
	le.PutUint16(f.cfg[regPrefetchLimit:], uint16(last>>16)&0xfff0|prefetchWide)
	le.PutUint32(f.cfg[regPrefetchBase2:], uint32(first>>32))
	le.PutUint32(f.cfg[regPrefetchTop2:], uint32(last>>32))
}
