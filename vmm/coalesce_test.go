package vmm_test

import (
	"sync/atomic"
	"testing"
)

// zoneBase is where no RAM is.
const zoneBase = 0x40000000

// tally counts the stores to it and tells the guest how many there were.
type tally struct{ stores atomic.Uint32 }

func (c *tally) Read(_ uint64, p []byte) {
	n := c.stores.Load()
	for i := range p {
		p[i] = byte(n >> (8 * i))
	}
}
func (c *tally) Write(uint64, []byte) { c.stores.Add(1) }

func newZoneMachine(t *testing.T, code ...byte) (*machine, *tally) {
	t.Helper()
	m := newMachine(t, 1, code...)
	if !m.Coalesces() {
		t.Skip("this KVM collects no stores")
	}
	k := m.VCPUs()[0].KVM()
	s, err := k.Sregs()
	if err != nil {
		t.Fatal(err)
	}
	s.DS.Base = zoneBase
	if err := k.SetSregs(s); err != nil {
		t.Fatal(err)
	}
	c := &tally{}
	if err := m.MMIO.Map(zoneBase, 0x1000, c); err != nil {
		t.Fatal(err)
	}
	return m, c
}

// TestStoreZone stores more often than KVM's ring holds, and reads: the read finds all stores delivered, for a few exits. When the zone is not collected
// any more, each store exits.
func TestStoreZone(t *testing.T) {
	const stores = 1000
	for _, collect := range []bool{true, false} {
		m, c := newZoneMachine(t,
			0x31, 0xc0, // xor ax, ax
			0xa3, 0x10, 0x00, // again: mov [0x10], ax
			0x40,             // inc ax
			0x3d, 0xe8, 0x03, // cmp ax, stores
			0x75, 0xf7, // jne again
			0xa1, 0x10, 0x00, // mov ax, [0x10]
			0xe7, 0x10, // out 0x10, ax
			0xf4, // hlt
		)
		last := newRecorder(0)
		mapPort(t, m.Ports, 0x10, 2, last)
		zone := m.StoreZone(zoneBase, 0x1000)
		if err := zone.Collect(true); err != nil {
			t.Fatal(err)
		}
		if !collect {
			if err := zone.Collect(false); err != nil {
				t.Fatal(err)
			}
		}
		m.Start()
		if got := <-last.got; got.data != "\xe8\x03" {
			t.Errorf("collecting %v: the guest reads %x", collect, got.data)
		}
		m.Stop()
		if n := c.stores.Load(); n != stores {
			t.Errorf("collecting %v: %d stores seen", collect, n)
		}
		if n := m.VCPUs()[0].Exits(); (n < stores) != collect || collect && n > stores/10 {
			t.Errorf("collecting %v: %d exits", collect, n)
		}
	}
}

// TestDeliver has a guest store and never come out again by itself.
func TestDeliver(t *testing.T) {
	m, c := newZoneMachine(t,
		0xa3, 0x10, 0x00, // mov [0x10], ax
		0xeb, 0xfe, // jmp self
	)
	zone := m.StoreZone(zoneBase, 0x1000)
	if err := zone.Collect(true); err != nil {
		t.Fatal(err)
	}
	m.Start()
	for c.stores.Load() == 0 {
		zone.Deliver()
	}
	m.Stop()
	if n := m.VCPUs()[0].Exits(); n != 0 {
		t.Errorf("%d exits", n)
	}
}
