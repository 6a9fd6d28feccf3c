package pci

import (
	"testing"

	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/event"
)

// TestSetDoorbells changes the doorbells of a BAR while it is mapped, and while it is not.
func TestSetDoorbells(t *testing.T) {
	bell, err := event.New()
	if err != nil {
		t.Fatal(err)
	}
	defer bell.Close()
	f := withBAR(t, 0, Mem32, 0x100, newScratch(0x100))
	b := newBoard(t, f)
	const base = 0xc000_0000
	b.setConfig(1, 0x10, 4, base)
	decode := func(on uint64) { b.setConfig(1, 4, 2, on*commandMemory) }
	for _, step := range []struct {
		name  string
		do    func() error
		rings map[uint64]bool
	}{
		{"none yet", func() error { decode(1); return nil }, map[uint64]bool{0x10: false, 0x20: false}},
		{"set while mapped", func() error { return f.SetDoorbells(0, bus.Doorbell{Addr: 0x10, Event: bell}) }, map[uint64]bool{0x10: true, 0x20: false}},
		{"another", func() error { return f.SetDoorbells(0, bus.Doorbell{Addr: 0x20, Event: bell}) }, map[uint64]bool{0x10: false, 0x20: true}},
		{"set while not mapped", func() error {
			decode(0)
			defer decode(1)
			return f.SetDoorbells(0, bus.Doorbell{Addr: 0x10, Event: bell})
		}, map[uint64]bool{0x10: true, 0x20: false}},
		{"taken away", func() error { return f.SetDoorbells(0) }, map[uint64]bool{0x10: false, 0x20: false}},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		for off, want := range step.rings {
			store(b.mem, base+off, 4, 0)
			if rang := bell.Clear(); rang != want || (b.bound[base+off] == bell) != want {
				t.Errorf("%s: %#x rings: %v, bound: %v, want %v", step.name, off, rang, b.bound[base+off] == bell, want)
			}
		}
	}
	if f.SetDoorbells(0, bus.Doorbell{Addr: 0x100, Event: bell}) == nil {
		t.Error("accepted a doorbell outside the BAR")
	}
}
