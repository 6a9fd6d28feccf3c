package pci

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/vmm/bus"
)

// BARKind says which address space a BAR decodes and how wide it is.
type BARKind uint8

// The kinds of a BAR (PCI 3.0, section 6.2.5.1).
const (
	IO            BARKind = iota // ports
	Mem32                        // memory below 4 GiB
	Mem64                        // memory anywhere; takes two BARs
	Mem64Prefetch                // as Mem64, with reads free of side effects
)

// Type bits at the bottom of a BAR.
var barBits = map[BARKind]uint32{IO: 1, Mem32: 0, Mem64: 4, Mem64Prefetch: 0xc}

type bar struct {
	kind   BARKind
	size   uint64
	dev    bus.Device
	memory Memory         // nil where dev answers
	bells  []bus.Doorbell // Addr is an offset in the BAR

	mapped bool
	base   uint64         // where it is mapped
	bound  []bus.Doorbell // those of bells that the bus took
}

// AddBAR makes BAR index (0..5) decode size bytes, a power of two of at least 4 (ports, at most 256) or 16 (memory). dev answers
// accesses with offsets from the BAR's start; nil reads as zeroes. bells are doorbells whose Addr counts from the BAR's
// start too; they move with it. A 64-bit BAR takes index+1 as well.
func (f *Function) AddBAR(index int, kind BARKind, size uint64, dev bus.Device, bells ...bus.Doorbell) error {
	wide := kind == Mem64 || kind == Mem64Prefetch
	minimum, maximum := uint64(16), uint64(1)<<31
	switch {
	case kind == IO:
		minimum, maximum = 4, 256
	case wide:
		maximum = 1 << 40
	}
	if size&(size-1) != 0 || size < minimum || size > maximum {
		return fmt.Errorf("pci: %s: BAR %d can't have %#x bytes", f.name, index, size)
	}
	if index < 0 || index >= len(f.bars) || f.taken(index) || (wide && (index+1 == len(f.bars) || f.taken(index+1))) {
		return fmt.Errorf("pci: %s: there is no place for BAR %d", f.name, index)
	}
	for _, d := range bells {
		if d.Addr >= size {
			return fmt.Errorf("pci: %s: doorbell at %#x is outside BAR %d", f.name, d.Addr, index)
		}
	}
	if dev == nil {
		dev = zeroes{}
	}
	f.bars[index] = &bar{kind: kind, size: size, dev: dev, bells: bells}
	at, mask := regBAR0+4*index, -size
	bits := barBits[kind]
	le := binary.LittleEndian
	le.PutUint32(f.cfg[at:], bits)
	le.PutUint32(f.writable[at:], uint32(mask))
	if wide {
		le.PutUint32(f.writable[at+4:], uint32(mask>>32))
	}
	decode := uint8(commandMemory)
	if kind == IO {
		decode = commandIO
	}
	f.writable[regCommand] |= decode
	return nil
}

// taken says whether BAR index is in use, by itself or as the upper half of the one before.
func (f *Function) taken(index int) bool {
	if f.bars[index] != nil {
		return true
	}
	return index > 0 && f.bars[index-1] != nil && f.bars[index-1].kind >= Mem64
}

// address returns where the registers put BAR index, and false when it does not decode. As on most chipsets, zero is no address.
func (f *Function) address(index int) (uint64, bool) {
	b := f.bars[index]
	at := regBAR0 + 4*index
	base := uint64(binary.LittleEndian.Uint32(f.cfg[at:]))
	enable := uint16(commandMemory)
	switch b.kind {
	case IO:
		enable = commandIO
	case Mem64, Mem64Prefetch:
		base |= uint64(binary.LittleEndian.Uint32(f.cfg[at+4:])) << 32
	}
	base &= -b.size
	if b.kind == IO && base+b.size > 1<<16 {
		return 0, false
	}
	return base, base != 0 && f.command()&enable != 0 && f.forwarded(b.kind, base, b.size)
}

// setAddress writes BAR index as firmware would.
func (f *Function) setAddress(index int, base uint64) {
	at := regBAR0 + 4*index
	le := binary.LittleEndian
	le.PutUint32(f.cfg[at:], uint32(base)|barBits[f.bars[index].kind])
	if f.bars[index].kind >= Mem64 {
		le.PutUint32(f.cfg[at+4:], uint32(base>>32))
	}
}

// remap makes the buses decode what the registers of f say, and of all that are behind it. Where that frees addresses, other BARs that wanted them
// come in.
func (r *Root) remap(f *Function) {
	freed := false
	f.each(func(g *Function) {
		for i, b := range g.bars {
			if b == nil || !b.mapped {
				continue
			}
			if base, on := g.address(i); !on || base != b.base {
				r.unmap(b)
				freed = true
			}
		}
	})
	f.each(r.mapAll)
	if freed {
		r.each(r.mapAll)
	}
}

// mapAll maps what f decodes and is not mapped yet.
func (r *Root) mapAll(f *Function) {
	for i, b := range f.bars {
		if b == nil || b.mapped {
			continue
		}
		base, on := f.address(i)
		if !on {
			continue
		}
		space := r.space(b.kind)
		if err := space.Map(base, b.size, b.dev); err != nil {
			// The guest has put it onto something else. Hardware would have both answer; here the first one stays.
			f.log.Debug("BAR is not mapped", "function", f.name, "bar", i, "error", err)
			continue
		}
		if b.memory != nil {
			if err := b.memory.Place(base); err != nil {
				f.log.Debug("BAR is not mapped", "function", f.name, "bar", i, "error", err)
				if err := space.Unmap(base); err != nil {
					r.cfg.Log.Warn("BAR stays behind", "error", err)
				}
				continue
			}
		}
		b.mapped, b.base = true, base
		r.bind(f, i)
	}
}

func (r *Root) unmap(b *bar) {
	r.unbind(b)
	if b.memory != nil {
		if err := b.memory.Remove(); err != nil {
			r.cfg.Log.Warn("BAR stays behind", "error", err)
		}
	}
	if err := r.space(b.kind).Unmap(b.base); err != nil {
		r.cfg.Log.Warn("BAR stays behind", "error", err)
	}
	b.mapped = false
}

func (r *Root) space(kind BARKind) *bus.Bus {
	if kind == IO {
		return r.cfg.IO
	}
	return r.cfg.Memory
}

// zeroes answers a BAR without a device.
type zeroes struct{}

func (zeroes) Read(_ uint64, p []byte)  { clear(p) }
func (zeroes) Write(_ uint64, _ []byte) {}
