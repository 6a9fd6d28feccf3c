package pci

import (
	"bytes"
	"testing"

	"github.com/sharevm/vmm/vmm/bus"
)

func TestIdentity(t *testing.T) {
	b := newBoard(t, NewFunction("disk", testIdentity))
	for off, want := range map[int]uint64{0: 0x56781234, 8: 0x01080203, 0x2c: 0xdef09abc} {
		if got := b.config(1, off, 4); got != want {
			t.Errorf("register %#x is %#x, want %#x", off, got, want)
		}
	}
	if got := b.config(0, 0, 4); got != 0x29c08086 {
		t.Errorf("host bridge %#x", got)
	}
	b.setConfig(1, 0, 4, 0)
	b.setConfig(1, 8, 8, 0)
	if b.config(1, 0, 4) != 0x56781234 || b.config(1, 8, 4) != 0x01080203 {
		t.Error("the identity can be written")
	}
}

func TestAbsentFunctionsReadOnes(t *testing.T) {
	b := newBoard(t, NewFunction("disk", testIdentity))
	for _, off := range []uint64{2 << 15, 1<<15 + 1<<12, 31<<15 + 7<<12 + 0xff8, 1 << 20, 2<<20 - 8} {
		if got := load(b.mem, ecamBase+off, 8); got != ^uint64(0) {
			t.Errorf("ECAM %#x reads %#x", off, got)
		}
		store(b.mem, ecamBase+off, 8, 0)
	}
	store(b.io, 0xcf8, 4, 0x80001000)
	if got := load(b.io, 0xcfc, 4); got != 0xffffffff {
		t.Errorf("the ports read %#x", got)
	}
}

// TestWithdraw takes a function away that decodes a BAR, and leaves the others of its device.
func TestWithdraw(t *testing.T) {
	f, other := NewFunction("stand-in", testIdentity), NewFunction("other", testIdentity)
	if err := f.AddBAR(0, Mem32, 0x1000, nil); err != nil { // reads as zeroes
		t.Fatal(err)
	}
	b := newBoard(t, f)
	if err := b.Plug(Address{Device: 1, Function: 3}, other); err != nil {
		t.Fatal(err)
	}
	b.setConfig(1, regBAR0, 4, 0xC0000000)
	b.setConfig(1, regCommand, 2, commandMemory)
	if got := load(b.mem, 0xC0000004, 4); got == ^uint64(0)>>32 {
		t.Fatal("the BAR does not decode")
	}
	f.Withdraw()
	if got := b.config(1, 0, 4); got != 0xFFFFFFFF {
		t.Errorf("the slot reads %#x", got)
	}
	if got := load(b.mem, 0xC0000004, 4); got != 0xFFFFFFFF {
		t.Errorf("its BAR reads %#x", got)
	}
	b.setConfig(1, regCommand, 2, commandMemory)
	if got := load(b.mem, 0xC0000004, 4); got != 0xFFFFFFFF {
		t.Errorf("after a store to the slot its BAR reads %#x", got)
	}
	if got := load(b.mem, ecamBase+1<<15+3<<12, 4); got != 0x56781234 {
		t.Errorf("the other function reads %#x", got)
	}
}

// TestECAMAnyWidth compares every width at every offset, function boundaries included, with bytes.
func TestECAMAnyWidth(t *testing.T) {
	f := NewFunction("disk", testIdentity)
	if err := f.AddRegister(0xff0, bytes.Repeat([]byte{0x5a}, 16), nil); err != nil {
		t.Fatal(err)
	}
	b := newBoard(t, f)
	for base := uint64(ecamBase + 1<<15 - 16); base < ecamBase+1<<15+0x1010; base++ {
		var want uint64
		for i := range 8 {
			want |= load(b.mem, base+uint64(i), 1) << (8 * i)
		}
		for width := 1; width <= 8; width++ {
			if got := load(b.mem, base, width); got != want&(^uint64(0)>>(64-8*width)) {
				t.Fatalf("%d bytes at %#x: %#x, by bytes %#x", width, base, got, want)
			}
		}
	}
}

func TestPorts(t *testing.T) {
	b := newBoard(t, NewFunction("disk", testIdentity))
	store(b.io, 0xcf8, 4, 0xff00080f|latchEnable)
	if got := load(b.io, 0xcf8, 4); got != 0x8000080c {
		t.Fatalf("latch %#x", got)
	}
	store(b.io, 0xcf8, 4, 0x80000800)
	for _, test := range []struct {
		port  uint64
		width int
		want  uint64
	}{
		{0xcfc, 4, 0x56781234}, {0xcfc, 2, 0x1234}, {0xcfe, 2, 0x5678}, {0xcff, 1, 0x56}, {0xcfd, 2, 0x7812},
		{0xcf8, 4, 0x80000800}, {0xcf8, 1, 0xff}, {0xcf9, 1, 0xff}, {0xcf8, 2, 0xffff}, {0xcfa, 4, 0x1234ffff}, {0xcf9, 2, 0xffff},
		{0xcf8, 8, 0x56781234ffffffff},
	} {
		if got := load(b.io, test.port, test.width); got != test.want {
			t.Errorf("%d bytes at %#x: %#x, want %#x", test.width, test.port, got, test.want)
		}
	}
	store(b.io, 0xcf8, 4, 0x8000083c)
	store(b.io, 0xcfc, 1, 0x0b)
	store(b.io, 0xcf8, 1, 0) // no way to the latch
	store(b.io, 0xcfa, 4, 0xee_0000)
	if got := b.config(1, 0x3c, 1); got != 0xee {
		t.Errorf("a store across the data port gave %#x", got)
	}
	store(b.io, 0xcf8, 4, 0x0000083c)
	store(b.io, 0xcfc, 1, 0)
	if b.config(1, 0x3c, 1) != 0xee || load(b.io, 0xcfc, 4) != 0xffffffff {
		t.Error("the ports answer though the latch is off")
	}
}

func TestResetPort(t *testing.T) {
	reset := newScratch(1)
	r, err := NewRoot(Config{Memory: bus.New("memory", nil), IO: bus.New("port", nil), Buses: 1, Reset: reset}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Ports().Write(1, []byte{6})
	p := []byte{0}
	r.Ports().Read(1, p)
	if reset.b[0] != 6 || p[0] != 6 {
		t.Fatalf("wrote 6, device has %d, read %d", reset.b[0], p[0])
	}
	r.Ports().Write(0, []byte{1, 2, 0, 0x80})
	if reset.b[0] != 6 {
		t.Fatal("a store to the latch reached the reset port")
	}
}

func TestHooks(t *testing.T) {
	f := NewFunction("disk", testIdentity)
	if err := f.AddRegister(0x60, []byte{1, 2, 3, 4}, []byte{0xff, 0, 0x0f}); err != nil {
		t.Fatal(err)
	}
	reads, writes := 0, 0
	f.OnRead(0x60, 2, func([]byte) { reads++ })
	f.OnWrite(0x62, 1, func(cfg []byte) { writes++; cfg[0x63] = cfg[0x62] })
	b := newBoard(t, f)
	b.setConfig(1, 0x60, 4, 0xaabbccdd)
	if got := b.config(1, 0x60, 4); got != 0x0b0b02dd { // the upper half of 0x62 is fixed at 0
		t.Errorf("%#x", got)
	}
	b.config(1, 0x62, 2)
	b.config(1, 0x5c, 4)
	b.setConfig(1, 0x60, 2, 0)
	b.setConfig(1, 0x63, 1, 0)
	if reads != 1 || writes != 1 {
		t.Errorf("%d reads and %d writes were seen, want 1 and 1", reads, writes)
	}
	for _, off := range []int{0x3c, -1, configSize - 3} {
		if f.AddRegister(off, make([]byte, 4), nil) == nil {
			t.Errorf("a register at %#x", off)
		}
	}
}

func TestCapabilities(t *testing.T) {
	f := NewFunction("disk", testIdentity)
	first, err := f.AddCapability(CapVendor, []byte{7, 1, 2, 3, 4}, nil)
	if err != nil {
		t.Fatal(err)
	}
	reset := 0
	if err := f.AddExpress(Endpoint, func() { reset++ }); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.AddCapability(CapVendor, make([]byte, 30), nil)
	}
	b := newBoard(t, f)
	if b.config(1, 6, 2)&statusCapabilities == 0 {
		t.Fatal("no list")
	}
	var ids []uint64
	express := 0
	for at := int(b.config(1, 0x34, 1)); at != 0; at = int(b.config(1, at+1, 1)) {
		if at%4 != 0 || at < 0x40 || at+32 > 0x100+20 || len(ids) > 20 {
			t.Fatalf("capability at %#x", at)
		}
		if b.config(1, at, 1) == CapExpress {
			express = at
		}
		ids = append(ids, b.config(1, at, 1))
	}
	if first != 0x40 || len(ids) != 5 || ids[0] != CapVendor || ids[1] != CapExpress {
		t.Fatalf("%x", ids)
	}
	if got := b.config(1, express+2, 2); got != 2 {
		t.Errorf("express capabilities %#x", got)
	}
	b.setConfig(1, express+8, 2, 0x8000)
	if reset != 1 || b.config(1, express+8, 2) != 0 {
		t.Errorf("%d resets, control %#x", reset, b.config(1, express+8, 2))
	}
}

func TestPlug(t *testing.T) {
	b := newBoard(t)
	plug := func(a Address) (*Function, error) {
		f := NewFunction(a.String(), testIdentity)
		return f, b.Plug(a, f)
	}
	for _, bad := range []Address{{}, {Bus: 1}, {Device: 32}, {Device: 1, Function: 8}} {
		if _, err := plug(bad); err == nil {
			t.Errorf("plugged at %v", bad)
		}
	}
	f, err := plug(Address{Device: 5, Function: 2})
	if err != nil {
		t.Fatal(err)
	}
	if b.Plug(Address{Device: 6}, f) == nil {
		t.Error("plugged twice")
	}
	if _, err := plug(Address{Device: 5}); err != nil {
		t.Fatal(err)
	}
	if _, err := plug(Address{Device: 7}); err != nil {
		t.Fatal(err)
	}
	if b.config(5, 0x0e, 1) != 0x80 || b.config(7, 0x0e, 1) != 0 || b.config(5, 0x200e, 1) != 0 {
		t.Error("wrong header types")
	}
	if got := f.Address().String(); got != "00:05.2" {
		t.Error(got)
	}
}
