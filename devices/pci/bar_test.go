package pci

import (
	"testing"

	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/event"
)

func withBAR(t testing.TB, index int, kind BARKind, size uint64, dev bus.Device, bells ...bus.Doorbell) *Function {
	t.Helper()
	f := NewFunction("card", testIdentity)
	if err := f.AddBAR(index, kind, size, dev, bells...); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSizing(t *testing.T) {
	for _, test := range []struct {
		name      string
		kind      BARKind
		size      uint64
		low, high uint64
	}{
		{"ports", IO, 0x20, 0xffffffe1, 0},
		{"32 bit", Mem32, 0x1000, 0xfffff000, 0},
		{"64 bit", Mem64, 0x4000, 0xffffc004, 0xffffffff},
		{"64 bit, prefetchable", Mem64Prefetch, 1 << 20, 0xfff0000c, 0xffffffff},
		{"beyond 4 GiB", Mem64Prefetch, 1 << 34, 0xc, 0xfffffffc},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBoard(t, withBAR(t, 2, test.kind, test.size, nil))
			b.setConfig(1, 0x18, 4, 0xffffffff)
			b.setConfig(1, 0x1c, 4, 0xffffffff)
			if low, high := b.config(1, 0x18, 4), b.config(1, 0x1c, 4); low != test.low || high != test.high {
				t.Fatalf("%#x, %#x", low, high)
			}
			b.setConfig(1, 0x18, 4, 0)
			if got := b.config(1, 0x18, 4); got != uint64(barBits[test.kind]) {
				t.Fatalf("type bits became %#x", got)
			}
			for _, off := range []int{0x10, 0x14, 0x20, 0x24, 0x30} {
				b.setConfig(1, off, 4, 0xffffffff)
				if got := b.config(1, off, 4); got != 0 {
					t.Fatalf("register %#x, which decodes nothing, reads %#x", off, got)
				}
			}
		})
	}
}

func TestAddBARRefuses(t *testing.T) {
	f := withBAR(t, 1, Mem64, 0x1000, nil)
	for name, err := range map[string]error{
		"a size of 3":       f.AddBAR(0, Mem32, 3, nil),
		"8 bytes of memory": f.AddBAR(0, Mem32, 8, nil),
		"512 ports":         f.AddBAR(0, IO, 512, nil),
		"no size":           f.AddBAR(0, Mem32, 0, nil),
		"a used one":        f.AddBAR(1, Mem32, 16, nil),
		"an upper half":     f.AddBAR(2, Mem32, 16, nil),
		"a pair over it":    f.AddBAR(0, Mem64, 16, nil),
		"a pair at the end": f.AddBAR(5, Mem64, 16, nil),
		"number 6":          f.AddBAR(6, Mem32, 16, nil),
		"number -1":         f.AddBAR(-1, Mem32, 16, nil),
		"a bell outside":    f.AddBAR(0, Mem32, 16, nil, bus.Doorbell{Addr: 16}),
	} {
		if err == nil {
			t.Errorf("accepted %s", name)
		}
	}
}

func TestDecoding(t *testing.T) {
	dev := newScratch(0x100)
	bell, err := event.New()
	if err != nil {
		t.Fatal(err)
	}
	defer bell.Close()
	f := withBAR(t, 0, Mem64, 0x100, dev, bus.Doorbell{Addr: 0x40, Event: bell})
	ports := newScratch(8)
	if err := f.AddBAR(4, IO, 8, ports); err != nil {
		t.Fatal(err)
	}
	b := newBoard(t, f)
	at := func(base uint64) bool {
		store(b.mem, base+0x10, 4, 0x600d)
		rang := func() bool {
			store(b.mem, base+0x40, 2, 0)
			return bell.Clear()
		}
		on := load(b.mem, base+0x10, 4) == 0x600d
		if on != rang() || on != (b.bound[base+0x40] == bell) {
			t.Fatalf("at %#x: registers %v, bound %v", base, on, b.bound)
		}
		return on
	}
	b.setConfig(1, 0x10, 4, 0xc0000000)
	b.setConfig(1, 0x20, 4, 0xc100)
	if at(0xc0000000) {
		t.Fatal("decoded though switched off")
	}
	b.setConfig(1, 4, 2, commandMemory)
	if !at(0xc0000000) {
		t.Fatal("not decoded")
	}
	if load(b.io, 0xc100, 4) != 0xffffffff {
		t.Fatal("ports decoded though switched off")
	}
	b.setConfig(1, 4, 2, commandMemory|commandIO)
	store(b.io, 0xc104, 4, 0x1234)
	if load(b.io, 0xc104, 4) != 0x1234 {
		t.Fatal("ports not decoded")
	}
	b.setConfig(1, 0x14, 4, 0x20) // to 0x20_c0000000
	if at(0xc0000000) || !at(0x20_c0000000) {
		t.Fatal("not moved")
	}
	for _, bad := range []uint64{
		ecamBase &^ 0xff, // on something else
		0,                // nowhere
		0xffffffff_ffffff00,
	} {
		b.setConfig(1, 0x10, 8, bad)
		if at(0x20_c0000000) || (bad != 0xffffffff_ffffff00 && at(bad)) {
			t.Fatalf("decoded after a move to %#x", bad)
		}
	}
	b.setConfig(1, 0x10, 8, 0xc0000000)
	if !at(0xc0000000) {
		t.Fatal("not back")
	}
	b.setConfig(1, 0x20, 4, 0xfffc)
	b.setConfig(1, 0x20, 4, 0xfff8) // the last ports
	if load(b.io, 0xfffc, 4) != 0x1234 {
		t.Fatal("the last ports are not decoded")
	}
	b.setConfig(1, 0x20, 4, 0x10000)
	b.setConfig(1, 4, 2, 0)
	if at(0xc0000000) || len(b.bound) != 0 {
		t.Fatal("decoded after being switched off")
	}
}

// TestOverlappingBARs holds that of two BARs in one place the first answers, and the other as soon as it goes.
func TestOverlappingBARs(t *testing.T) {
	one, two := newScratch(0x1000), newScratch(0x1000)
	one.b[0], two.b[0] = 1, 2
	b := newBoard(t, withBAR(t, 0, Mem32, 0x1000, one), withBAR(t, 0, Mem32, 0x1000, two))
	for device := 1; device <= 2; device++ {
		b.setConfig(device, 4, 2, commandMemory)
		b.setConfig(device, 0x10, 4, 0xd0000000)
	}
	if got := load(b.mem, 0xd0000000, 1); got != 1 {
		t.Fatalf("device %d answers", got)
	}
	b.setConfig(1, 0x10, 4, 0xd0001000)
	if x, y := load(b.mem, 0xd0000000, 1), load(b.mem, 0xd0001000, 1); x != 2 || y != 1 {
		t.Fatalf("devices %d and %d answer", x, y)
	}
	b.setConfig(1, 0x10, 4, 0xd0000000)
	if x, y := load(b.mem, 0xd0000000, 1), load(b.mem, 0xd0001000, 1); x != 2 || y != 0xff {
		t.Fatalf("devices %d and %d answer", x, y)
	}
	b.setConfig(2, 4, 2, 0)
	if got := load(b.mem, 0xd0000000, 1); got != 1 {
		t.Fatalf("device %d answers", got)
	}
}

func TestAssign(t *testing.T) {
	windows := Windows{
		IO:    Window{0xc000, 0x1000},
		Mem32: Window{0xc0000000, 0x10000},
		Mem64: Window{1 << 40, 1 << 30},
	}
	make2 := func() []*Function {
		a := withBAR(t, 0, Mem32, 0x1000, nil)
		for index, kind := range map[int]BARKind{1: Mem32, 2: Mem64, 4: IO} {
			if err := a.AddBAR(index, kind, map[BARKind]uint64{Mem32: 0x2000, Mem64: 0x4000, IO: 0x40}[kind], nil); err != nil {
				t.Fatal(err)
			}
		}
		return []*Function{a, withBAR(t, 0, Mem32, 0x8000, newScratch(0x8000)), withBAR(t, 5, IO, 0x100, nil)}
	}
	b := newBoard(t, make2()...)
	if err := b.Assign(windows); err != nil {
		t.Fatal(err)
	}
	want := map[[2]int]uint64{
		{1, 0x10}: 0xc000a000, {1, 0x14}: 0xc0008000, {1, 0x18}: 4, {1, 0x1c}: 0x100, {1, 0x20}: 0xc101,
		{2, 0x10}: 0xc0000000, {3, 0x24}: 0xc001,
	}
	check := func() {
		t.Helper()
		for at, v := range want {
			if got := b.config(at[0], at[1], 4); got != v {
				t.Errorf("device %d, register %#x: %#x, want %#x", at[0], at[1], got, v)
			}
		}
	}
	check()
	if b.config(2, 4, 2) != 0 || load(b.mem, 0xc0000000, 4) != 0xffffffff {
		t.Error("decoding is on")
	}
	b.setConfig(2, 4, 2, commandMemory)
	if load(b.mem, 0xc0000000, 4) != 0 {
		t.Error("nothing at the assigned place")
	}
	b.Reset()
	if b.config(2, 0x10, 4) != 0 || b.config(2, 4, 2) != 0 {
		t.Error("a reset left registers behind")
	}
	if err := b.Assign(windows); err != nil {
		t.Fatal(err)
	}
	check()

	b = newBoard(t, make2()...)
	windows.Mem64 = Window{}
	windows.Mem32.Size = 0xf000
	if err := b.Assign(windows); err != nil {
		t.Fatalf("a window that is just large enough: %v", err)
	}
	b = newBoard(t, make2()...)
	windows.Mem32.Size--
	if err := b.Assign(windows); err == nil {
		t.Fatal("BARs in a window that is too small")
	}
}
