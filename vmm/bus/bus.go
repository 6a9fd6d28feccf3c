// Package bus dispatches a guest's port and memory-mapped accesses to devices.
//
// A Bus is one address space. Ranges never overlap: mapping over another device is an error. Look-up takes no lock: the table is
// immutable and replaced whole on change, since changes (a BAR that moves) are rare and accesses are not. Each device brings its
// own lock; there is none across devices. What no device claims reads as ones and swallows writes, as on a PC.
package bus

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/vmm/event"
)

// Device answers accesses to a range. offset counts from the start of the range; offset+len(p) stays inside it. len(p) is 1..8 and
// neither it nor the offset is aligned in any way the guest did not choose. Data is little endian. Read must set every byte
// of p. Calls come from several vCPUs at once.
type Device interface {
	Read(offset uint64, p []byte)
	Write(offset uint64, p []byte)
}

// Binder makes the kernel signal an event itself when the guest writes to an address (KVM_IOEVENTFD).
type Binder interface {
	BindDoorbell(d Doorbell) error
	UnbindDoorbell(d Doorbell) error
}

// Doorbell is an address whose writes signal an event.
type Doorbell struct {
	Addr  uint64
	Width int     // access width in bytes that counts: 1, 2, 4 or 8; 0 for any
	Match *uint64 // value that counts, nil for any; needs a Width
	Event *event.Event
}

// Bus is one address space of a guest.
type Bus struct {
	name   string
	binder Binder

	mu    sync.Mutex // serialises changes
	table atomic.Pointer[table]
}

type table struct {
	ranges    []mapping  // sorted by base
	doorbells []Doorbell // sorted by address
}

type mapping struct {
	base, last uint64 // inclusive, so that a range may end at the top of the address space
	dev        Device
}

// New returns an empty address space. name is for messages. binder may be nil: doorbells then ring by dispatch.
func New(name string, binder Binder) *Bus {
	b := &Bus{name: name, binder: binder}
	b.table.Store(&table{})
	return b
}

// Map gives [base, base+size) to dev.
func (b *Bus) Map(base, size uint64, dev Device) error {
	if size == 0 || base+size-1 < base {
		return fmt.Errorf("%s bus: bad range %#x+%#x", b.name, base, size)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.table.Load()
	m := mapping{base, base + size - 1, dev}
	i, _ := slices.BinarySearchFunc(old.ranges, base, func(r mapping, a uint64) int { return cmp(r.base, a) })
	for _, j := range []int{i - 1, i} {
		if j >= 0 && j < len(old.ranges) {
			if r := old.ranges[j]; r.base <= m.last && m.base <= r.last {
				return fmt.Errorf("%s bus: %#x-%#x overlaps %#x-%#x", b.name, m.base, m.last, r.base, r.last)
			}
		}
	}
	b.table.Store(&table{slices.Insert(slices.Clone(old.ranges), i, m), old.doorbells})
	return nil
}

// Unmap takes back the range that starts at base. An access already in flight may still reach the device.
func (b *Bus) Unmap(base uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.table.Load()
	i, ok := slices.BinarySearchFunc(old.ranges, base, func(r mapping, a uint64) int { return cmp(r.base, a) })
	if !ok {
		return fmt.Errorf("%s bus: nothing is mapped at %#x", b.name, base)
	}
	b.table.Store(&table{slices.Delete(slices.Clone(old.ranges), i, i+1), old.doorbells})
	return nil
}

// AddDoorbell makes writes to d.Addr signal d.Event, in the kernel where a Binder is present. The device mapped there does
// not see such a write when the kernel takes it, so a doorbell register must have no other effect.
func (b *Bus) AddDoorbell(d Doorbell) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.binder != nil {
		if err := b.binder.BindDoorbell(d); err != nil {
			return fmt.Errorf("%s bus: doorbell at %#x: %w", b.name, d.Addr, err)
		}
	}
	old := b.table.Load()
	i, _ := slices.BinarySearchFunc(old.doorbells, d.Addr, func(r Doorbell, a uint64) int { return cmp(r.Addr, a) })
	b.table.Store(&table{old.ranges, slices.Insert(slices.Clone(old.doorbells), i, d)})
	return nil
}

// RemoveDoorbell undoes AddDoorbell of the same Addr and Event.
func (b *Bus) RemoveDoorbell(d Doorbell) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.table.Load()
	i := slices.IndexFunc(old.doorbells, func(r Doorbell) bool { return r.Addr == d.Addr && r.Event == d.Event })
	if i < 0 {
		return fmt.Errorf("%s bus: no such doorbell at %#x", b.name, d.Addr)
	}
	b.table.Store(&table{old.ranges, slices.Delete(slices.Clone(old.doorbells), i, i+1)})
	if b.binder != nil {
		if err := b.binder.UnbindDoorbell(old.doorbells[i]); err != nil {
			return fmt.Errorf("%s bus: doorbell at %#x: %w", b.name, d.Addr, err)
		}
	}
	return nil
}

// Read answers a load of len(p) bytes. Bytes that no device claims become ones.
func (b *Bus) Read(addr uint64, p []byte) {
	t := b.table.Load()
	for len(p) > 0 {
		m, n := t.span(addr, len(p))
		if m != nil {
			m.dev.Read(addr-m.base, p[:n])
		} else {
			for i := range p[:n] {
				p[i] = 0xff
			}
		}
		p, addr = p[n:], addr+uint64(n)
	}
}

// Write delivers a store of len(p) bytes. Bytes that no device claims are dropped.
func (b *Bus) Write(addr uint64, p []byte) {
	t := b.table.Load()
	if len(t.doorbells) > 0 && t.ring(addr, p) {
		return
	}
	for len(p) > 0 {
		m, n := t.span(addr, len(p))
		if m != nil {
			m.dev.Write(addr-m.base, p[:n])
		}
		p, addr = p[n:], addr+uint64(n)
	}
}

// span returns the mapping at addr, or nil, and how many of the next max bytes it (or the gap) covers.
func (t *table) span(addr uint64, max int) (*mapping, int) {
	lo, hi := 0, len(t.ranges)
	for lo < hi {
		mid := (lo + hi) / 2
		if t.ranges[mid].last < addr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(t.ranges) {
		return nil, max
	}
	m := &t.ranges[lo]
	if addr < m.base {
		return nil, clamp(m.base-addr, max)
	}
	if rest := m.last - addr; rest < uint64(max) {
		return m, clamp(rest+1, max)
	}
	return m, max
}

// ring signals the doorbells that the write hits, and says whether there was one.
func (t *table) ring(addr uint64, p []byte) (rang bool) {
	i, _ := slices.BinarySearchFunc(t.doorbells, addr, func(r Doorbell, a uint64) int { return cmp(r.Addr, a) })
	for ; i < len(t.doorbells) && t.doorbells[i].Addr == addr; i++ {
		d := &t.doorbells[i]
		if d.Width != 0 && d.Width != len(p) {
			continue
		}
		if d.Match != nil && *d.Match != littleEndian(p) {
			continue
		}
		d.Event.Signal()
		rang = true
	}
	return rang
}

func littleEndian(p []byte) (v uint64) {
	for i, c := range p {
		v |= uint64(c) << (8 * i)
	}
	return v
}

func clamp(n uint64, max int) int {
	if n < uint64(max) {
		return int(n)
	}
	return max
}

func cmp(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
