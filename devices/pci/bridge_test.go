package pci

import (
	"strings"
	"testing"

	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// tree is a board with a bridge at 00:02.0, a card and a bridge behind it, and a card behind that.
type tree struct {
	*board
	outer, inner Bridge
	near, far    *Function
	restarts     int
}

func newTree(t testing.TB) *tree {
	t.Helper()
	r := &tree{board: newBoard(t)}
	r.cfg.Buses = 16
	r.outer, r.inner = NewBridge("outer", testIdentity), NewBridge("inner", testIdentity)
	r.near = withBAR(t, 0, Mem32, 0x2000, newScratch(0x2000))
	if err := r.near.AddBAR(2, IO, 0x20, newScratch(0x20)); err != nil {
		t.Fatal(err)
	}
	r.far = withBAR(t, 0, Mem64Prefetch, 0x40_0000, newScratch(0x1000))
	r.far.UseINTx(1)
	if err := r.far.AddExpress(Endpoint, func() { r.restarts++ }); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		r.outer.AddExpress(RootPort, nil),
		r.Plug(Address{Device: 2}, r.outer.Function),
		r.PlugBehind(r.outer, Address{Device: 1}, r.inner.Function),
		r.PlugBehind(r.outer, Address{Device: 3}, r.near),
		r.PlugBehind(r.inner, Address{Device: 2}, r.far),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// at is an address in configuration space by the ports.
func (r *tree) at(number, device, off int, width int) uint64 {
	store(r.io, PortBase, 4, uint64(1<<31|number<<16|device<<11|off&^3))
	return load(r.io, PortBase+4+uint64(off&3), width)
}

func (r *tree) setAt(number, device, off, width int, v uint64) {
	store(r.io, PortBase, 4, uint64(1<<31|number<<16|device<<11|off&^3))
	store(r.io, PortBase+4+uint64(off&3), width, v)
}

func (r *tree) assign(t testing.TB) {
	t.Helper()
	if err := r.Assign(Windows{IO: Window{0x1000, 0xF000}, Mem32: Window{0xC000_0000, 0x1000_0000}, Mem64: Window{1 << 33, 1 << 32}}); err != nil {
		t.Fatal(err)
	}
}

func TestBusNumbers(t *testing.T) {
	r := newTree(t)
	const id = 0x56781234
	if r.at(1, 3, 0, 4) != 0xffffffff {
		t.Error("a bus answers that has no number")
	}
	if got := r.at(0, 2, regHeaderType, 1); got != headerBridge {
		t.Errorf("header type %#x", got)
	}
	r.setAt(0, 2, regPrimary, 4, 0x070400) // buses 4 to 7
	r.setAt(4, 1, regPrimary, 4, 0x070604)
	for _, c := range []struct {
		bus, device int
		want        uint64
	}{{4, 1, id}, {4, 3, id}, {4, 2, 0xffffffff}, {6, 2, id}, {5, 2, 0xffffffff}, {7, 2, 0xffffffff}, {8, 2, 0xffffffff}} {
		if got := r.at(c.bus, c.device, 0, 4); got != c.want {
			t.Errorf("%02x:%02x: %#x", c.bus, c.device, got)
		}
	}
	r.setAt(0, 2, regPrimary, 4, 0x050400) // the inner bridge's buses are no longer inside
	if r.at(6, 2, 0, 4) != 0xffffffff {
		t.Error("a bus answers that the outer bridge does not hand down")
	}
}

func TestAssignBehindBridges(t *testing.T) {
	r := newTree(t)
	r.assign(t)
	for _, c := range []struct {
		what             string
		bus, device, off int
		width            int
		want             uint64
	}{
		{"outer buses", 0, 2, regPrimary, 4, 0x020100},
		{"inner buses", 1, 1, regPrimary, 4, 0x020201},
		{"outer ports", 0, 2, regIOBase, 2, 0x1010},
		{"outer memory", 0, 2, regMemoryBase, 4, 0xc000c000},
		{"outer prefetchable", 0, 2, regPrefetchBase, 4, 0x00310001},
		{"outer prefetchable, upper base", 0, 2, regPrefetchBase2, 4, 2},
		{"outer prefetchable, upper limit", 0, 2, regPrefetchTop2, 4, 2},
		{"inner ports are closed", 1, 1, regIOBase, 2, 0x0010},
		{"inner memory is closed", 1, 1, regMemoryBase, 4, 0x00000010},
		{"inner prefetchable", 1, 1, regPrefetchBase, 4, 0x00310001},
		{"near memory", 1, 3, regBAR0, 4, 0xc0000000},
		{"near ports", 1, 3, regBAR0 + 8, 4, 0x1001},
		{"far", 2, 2, regBAR0, 4, 0xc},
		{"far, upper", 2, 2, regBAR0 + 4, 4, 2},
	} {
		if got := r.at(c.bus, c.device, c.off, c.width); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.what, got, c.want)
		}
	}
	if got := load(r.mem, 1<<33, 4); got != 0xffffffff {
		t.Errorf("decoded before a driver asks for it: %#x", got)
	}
	r.setAt(2, 2, regCommand, 2, commandMemory)
	store(r.mem, 1<<33+8, 4, 77)
	if got := load(r.mem, 1<<33+8, 4); got != 77 {
		t.Errorf("%#x behind two bridges", got)
	}
	r.setAt(0, 2, regCommand, 2, commandIO)
	if load(r.mem, 1<<33+8, 4) != 0xffffffff {
		t.Error("a bridge that forwards no memory forwards memory")
	}
	r.setAt(0, 2, regCommand, 2, commandMemory)
	r.setAt(1, 1, regPrefetchLimit, 2, 0x0020) // the window is too small
	if load(r.mem, 1<<33+8, 4) != 0xffffffff {
		t.Error("decoded outside the bridge's window")
	}
	if err := r.Assign(Windows{IO: Window{0x1000, 0x800}, Mem32: Window{0xC000_0000, 1 << 28}}); err == nil || !strings.Contains(err.Error(), "outer: no room") {
		t.Errorf("windows that are too small: %v", err)
	}
}

func TestINTxBehindBridges(t *testing.T) {
	r := newTree(t)
	r.far.SetINTx(true) // pin A of device 2, on device 1, on device 2: A+2+1 is D, and slot 2 moves that by 2
	if want := [4]bool{false, true, false, false}; r.lines != want {
		t.Errorf("lines %v", r.lines)
	}
}

func TestBusReset(t *testing.T) {
	r := newTree(t)
	r.assign(t)
	r.setAt(2, 2, regCommand, 2, commandMemory)
	r.setAt(0, 2, regBridgeControl, 2, bridgeReset)
	r.setAt(0, 2, regBridgeControl, 2, bridgeReset)
	if r.restarts != 1 {
		t.Errorf("%d resets of the device", r.restarts)
	}
	r.setAt(0, 2, regBridgeControl, 2, 0)
	if r.at(2, 2, 0, 4) != 0xffffffff || r.at(1, 1, regSecondary, 1) != 0 || load(r.mem, 1<<33, 4) != 0xffffffff {
		t.Error("what is behind the bridge is as it was")
	}
}

func TestBridgeSnapshot(t *testing.T) {
	r := newTree(t)
	r.assign(t)
	var q *tree
	statetest.Cycle(t, r.outer, func() state.Device { q = newTree(t); return q.outer })
	if q.at(1, 3, 0, 4) == 0xffffffff {
		t.Error("the bus lost its number")
	}
}

// TestEndpointOfALink has a function that calls itself part of the root complex be behind a root port.
func TestEndpointOfALink(t *testing.T) {
	r := newTree(t)
	for _, c := range []struct {
		above Bridge
		want  uint64 // the kind, and the link's capabilities
		link  uint64
	}{{r.outer, uint64(Endpoint), 0x11}, {r.inner, uint64(IntegratedEndpoint), 0}} {
		f := NewFunction("card", testIdentity)
		if err := f.AddExpress(IntegratedEndpoint, nil); err != nil {
			t.Fatal(err)
		}
		if err := r.PlugBehind(c.above, Address{Device: 9}, f); err != nil {
			t.Fatal(err)
		}
		if kind, link := uint64(f.cfg[0x42]>>4), uint64(f.cfg[0x4c]); kind != c.want || link != c.link {
			t.Errorf("kind %#x, link %#x", kind, link)
		}
	}
}

func TestPlugBehindRefuses(t *testing.T) {
	r := newTree(t)
	card := func() *Function { return NewFunction("card", testIdentity) }
	if err := r.PlugBehind(r.outer, Address{Device: 3}, card()); err == nil {
		t.Error("a slot was taken twice")
	}
	if err := r.PlugBehind(NewBridge("loose", testIdentity), Address{}, card()); err == nil {
		t.Error("behind a bridge that is nowhere")
	}
	if err := r.PlugBehind(r.outer, Address{Bus: 1}, card()); err == nil {
		t.Error("a bus by number")
	}
}
