package pci

import "encoding/binary"

// Offsets in a type 1 header, of a bridge (PCI-to-PCI Bridge Architecture 1.2, section 3.2).
const (
	regPrimary       = 0x18
	regSecondary     = 0x19
	regSubordinate   = 0x1a
	regIOBase        = 0x1c
	regIOLimit       = 0x1d
	regMemoryBase    = 0x20
	regMemoryLimit   = 0x22
	regPrefetchBase  = 0x24
	regPrefetchLimit = 0x26
	regPrefetchBase2 = 0x28 // upper halves
	regPrefetchTop2  = 0x2c
	regBridgeControl = 0x3e

	headerBridge   = 1
	prefetchWide   = 1    // in both prefetch registers: 64 bits
	bridgeReset    = 0x40 // of bridge control
	bridgeBits     = bridgeReset | 3
	bridgeIOAlign  = 1 << 12
	bridgeMemAlign = 1 << 20
)

// Bridge is a function with a bus of its own behind it. It is a state.Device.
type Bridge struct{ *Function }

// Pause implements state.Device.
func (Bridge) Pause() {}

// Resume implements state.Device.
func (Bridge) Resume() {}

// NewBridge returns a conventional bridge without devices behind it. It forwards what its windows hold: ports of 16 bits, memory, and prefetchable
// memory of 64 bits. AddExpress makes a root port of it. A legacy VGA cannot be behind it.
func NewBridge(name string, id Identity) Bridge {
	id.SubsystemVendor, id.Subsystem = 0, 0 // other registers are there
	f := NewFunction(name, id)
	f.behind = &secondary{}
	f.cfg[regHeaderType] = headerBridge
	le := binary.LittleEndian
	le.PutUint16(f.cfg[regPrefetchBase:], prefetchWide)
	le.PutUint16(f.cfg[regPrefetchLimit:], prefetchWide)
	f.writable[regCommand] |= commandIO | commandMemory
	for _, at := range []int{regPrimary, regSecondary, regSubordinate} {
		f.writable[at] = 0xff
	}
	f.writable[regIOBase], f.writable[regIOLimit] = 0xf0, 0xf0
	for _, at := range []int{regMemoryBase, regMemoryLimit, regPrefetchBase, regPrefetchLimit} {
		le.PutUint16(f.writable[at:], 0xfff0)
	}
	le.PutUint32(f.writable[regPrefetchBase2:], ^uint32(0))
	le.PutUint32(f.writable[regPrefetchTop2:], ^uint32(0))
	f.writable[regBridgeControl] = bridgeBits
	return Bridge{f}
}

// secondary is the bus behind a bridge.
type secondary struct {
	functions []*Function
	held      bool // in reset
}

// at is the function in a slot, or nil.
func (s *secondary) at(slot int) *Function {
	for _, f := range s.functions {
		if f.addr.slot() == slot {
			return f
		}
	}
	return nil
}

// find looks for a slot of a bus behind the bridge, which may be behind further ones.
func (f *Function) find(number uint8, slot int) *Function {
	if f.behind == nil || f.cfg[regSecondary] == 0 || number < f.cfg[regSecondary] || number > f.cfg[regSubordinate] {
		return nil
	}
	if number == f.cfg[regSecondary] {
		return f.behind.at(slot)
	}
	for _, g := range f.behind.functions {
		if found := g.find(number, slot); found != nil {
			return found
		}
	}
	return nil
}

// each calls fn for the function and for all that are behind it.
func (f *Function) each(fn func(*Function)) {
	fn(f)
	if f.behind != nil {
		for _, g := range f.behind.functions {
			g.each(fn)
		}
	}
}

// forwarded says whether all bridges above the function hand accesses to a range down to it.
func (f *Function) forwarded(kind BARKind, base, size uint64) bool {
	for p := f.above; p != nil; p = p.above {
		if !p.forwards(kind, base, base+size-1) {
			return false
		}
	}
	return true
}

// forwards says whether a bridge hands down accesses to a range, which lies in one of its windows then.
func (f *Function) forwards(kind BARKind, first, last uint64) bool {
	le := binary.LittleEndian
	inside := func(low, high uint64) bool { return first >= low && last <= high }
	if kind == IO {
		return f.command()&commandIO != 0 && inside(uint64(f.cfg[regIOBase]&0xf0)<<8, uint64(f.cfg[regIOLimit]&0xf0)<<8|(bridgeIOAlign-1))
	}
	window := func(at int) uint64 { return uint64(le.Uint16(f.cfg[at:])&0xfff0) << 16 }
	upper := func(at int) uint64 { return uint64(le.Uint32(f.cfg[at:])) << 32 }
	return f.command()&commandMemory != 0 &&
		(inside(window(regMemoryBase), window(regMemoryLimit)|(bridgeMemAlign-1)) ||
			inside(window(regPrefetchBase)|upper(regPrefetchBase2), window(regPrefetchLimit)|upper(regPrefetchTop2)|(bridgeMemAlign-1)))
}

// bridgeWritten follows bridge control: a reset of the bus behind it.
func (f *Function) bridgeWritten() {
	reset := f.cfg[regBridgeControl]&bridgeReset != 0
	if reset && !f.behind.held {
		for _, g := range f.behind.functions {
			g.each(func(h *Function) {
				h.reset()
				if h.restart != nil {
					h.restart()
				}
			})
		}
	}
	f.behind.held = reset
}
