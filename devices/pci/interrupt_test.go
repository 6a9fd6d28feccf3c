package pci

import (
	"errors"
	"testing"

	"github.com/sharevm/vmm/vmm/irq"
)

const (
	msixBAR  = 0xe000_0000
	tableAt  = 0x100
	pbaAt    = 0x200
	vectors  = 3
	msixCap  = 0x40
	msixCtrl = msixCap + 2
)

func newMSIX(t testing.TB, alloc irq.MSIAllocator) (*board, *MSIX, *scratch) {
	t.Helper()
	dev := newScratch(0x1000)
	f := withBAR(t, 0, Mem32, 0x1000, dev)
	x, err := f.AddMSIX(alloc, vectors, 0, tableAt, pbaAt)
	if err != nil {
		t.Fatal(err)
	}
	b := newBoard(t, f)
	b.setConfig(1, 0x10, 4, msixBAR)
	b.setConfig(1, 4, 2, commandMemory)
	return b, x, dev
}

func (b *board) program(v int, address, data, control uint64) {
	at := uint64(msixBAR + tableAt + 16*v)
	store(b.mem, at, 4, address)
	store(b.mem, at+4, 4, address>>32)
	store(b.mem, at+8, 4, data)
	store(b.mem, at+12, 4, control)
}

func TestMSIX(t *testing.T) {
	alloc := new(messages)
	b, x, _ := newMSIX(t, alloc)
	if got := b.config(1, msixCap, 4); got != 0x00020011 {
		t.Fatalf("capability %#x", got)
	}
	if b.config(1, msixCap+4, 4) != tableAt || b.config(1, msixCap+8, 4) != pbaAt {
		t.Fatal("wrong places")
	}
	expect := func(what string, want ...uint32) {
		t.Helper()
		if len(alloc.sent) != len(want) {
			t.Fatalf("%s: sent %v, want %v", what, alloc.sent, want)
		}
		for i, m := range alloc.sent {
			if m.Data != want[i] || m.Address != 0xfee01000 {
				t.Fatalf("%s: sent %v, want %v", what, alloc.sent, want)
			}
		}
		alloc.sent = nil
	}
	pending := func() uint64 { return load(b.mem, msixBAR+pbaAt, 8) }

	x.Fire(0)
	expect("while disabled")
	b.setConfig(1, msixCtrl, 2, msixEnable|msixMaskAll)
	x.Fire(0)
	b.program(0, 0xfee01000, 0x40, 0)
	b.program(1, 0xfee01000, 0x41, 0)
	b.program(2, 0xfee01000, 0x42, entryMasked)
	x.Fire(2)
	expect("while the function is masked")
	if !x.Enabled() || pending() != 5 || alloc.sets != 0 {
		t.Fatalf("enabled %v, pending %#x, %d messages set", x.Enabled(), pending(), alloc.sets)
	}
	b.setConfig(1, msixCtrl, 2, msixEnable)
	expect("at unmasking", 0x40)
	if pending() != 4 || alloc.sets != 2 {
		t.Fatalf("pending %#x, %d messages set", pending(), alloc.sets)
	}
	x.Fire(1)
	x.Fire(1)
	x.Fire(2)
	x.Fire(-1)
	x.Fire(vectors)
	x.Fire(0xffff)
	expect("when open", 0x41, 0x41)
	for range 10 {
		store(b.mem, msixBAR+tableAt+12, 4, entryMasked)
		x.Fire(0)
		store(b.mem, msixBAR+tableAt+12, 4, 0)
	}
	expect("masked and unmasked", 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40)
	if alloc.sets != 2 {
		t.Fatalf("an unchanged message was set again: %d", alloc.sets)
	}
	b.program(0, 0xfee01000, 0x50, 0)
	x.Fire(0)
	expect("after a change", 0x50)
	store(b.mem, msixBAR+pbaAt, 8, 0)
	if pending() != 4 {
		t.Fatal("pending bits can be written")
	}
	b.setConfig(1, msixCtrl, 2, 0)
	x.Fire(1)
	if pending() != 0 {
		t.Fatal("pending while disabled")
	}
	expect("after being disabled")
	b.setConfig(1, msixCtrl, 2, msixEnable)
	x.Fire(1)
	expect("after being enabled again", 0x41)
	b.Reset()
	x.Fire(1)
	expect("after a reset")
	x.Close()
	for i, m := range alloc.all {
		if !m.closed {
			t.Errorf("vector %d stays open", i)
		}
	}
}

func TestMSIXStructuresInTheirBAR(t *testing.T) {
	b, _, dev := newMSIX(t, new(messages))
	for i := range dev.b {
		dev.b[i] = 0xd0
	}
	if got := load(b.mem, msixBAR+tableAt-4, 8); got != 0x00000000_d0d0d0d0 {
		t.Errorf("before the table: %#x", got)
	}
	if got := load(b.mem, msixBAR+tableAt+16*vectors-4, 8); got != 0xd0d0d0d0_00000001 {
		t.Errorf("behind the table: %#x", got)
	}
	if got := load(b.mem, msixBAR+pbaAt+4, 8); got != 0xd0d0d0d0_00000000 {
		t.Errorf("behind the pending bits: %#x", got)
	}
	store(b.mem, msixBAR+tableAt+13, 8, 0x1122334455667788) // across entries
	if got := load(b.mem, msixBAR+tableAt+16, 8); got != 0x0000001122334455 {
		t.Errorf("across entries: %#x", got)
	}
	store(b.mem, msixBAR+tableAt-2, 4, 0xaabbccdd)
	if dev.b[tableAt-1] != 0xcc || dev.b[tableAt] != 0xd0 || load(b.mem, msixBAR+tableAt, 2) != 0xaabb {
		t.Error("a store across the start of the table went wrong")
	}
}

func TestAddMSIXRefuses(t *testing.T) {
	for name, add := range map[string]func(*Function) error{
		"no vectors":    func(f *Function) error { _, err := f.AddMSIX(nil, 0, 0, 0, 0x800); return err },
		"too many":      func(f *Function) error { _, err := f.AddMSIX(nil, 2049, 0, 0, 0x800); return err },
		"no BAR":        func(f *Function) error { _, err := f.AddMSIX(nil, 1, 1, 0, 0x800); return err },
		"outside":       func(f *Function) error { _, err := f.AddMSIX(nil, 3, 0, 0xfe0, 0x800); return err },
		"over another":  func(f *Function) error { _, err := f.AddMSIX(nil, 3, 0, 0x100, 0x120); return err },
		"not aligned":   func(f *Function) error { _, err := f.AddMSIX(nil, 3, 0, 0x104, 0x200); return err },
		"pending above": func(f *Function) error { _, err := f.AddMSIX(nil, 3, 0, 0x100, 0x1000); return err },
	} {
		if add(withBAR(t, 0, Mem32, 0x1000, nil)) == nil {
			t.Errorf("accepted %s", name)
		}
	}
}

// TestMSIXWithoutRoutes holds that a machine that has no more routes loses interrupts and nothing else, and recovers.
func TestMSIXWithoutRoutes(t *testing.T) {
	alloc := &messages{fail: errors.New("no routes")}
	b, x, _ := newMSIX(t, alloc)
	b.setConfig(1, msixCtrl, 2, msixEnable)
	b.program(0, 0xfee01000, 1, 0)
	x.Fire(0)
	alloc.fail = nil
	b.program(0, 0xfee01000, 1, 0)
	if len(alloc.sent) != 1 {
		t.Fatalf("sent %v", alloc.sent)
	}
	alloc.fail = errors.New("no routes")
	b.program(0, 0xfee01000, 2, 0)
	x.Fire(0)
	if len(alloc.sent) != 1 {
		t.Fatalf("sent %v by a message that could not be set", alloc.sent)
	}
}

func TestFireDoesNotAllocate(t *testing.T) {
	alloc := &messages{sent: make([]irq.Message, 0, 1000)}
	b, x, _ := newMSIX(t, alloc)
	b.setConfig(1, msixCtrl, 2, msixEnable)
	b.program(0, 0xfee01000, 1, 0)
	if n := testing.AllocsPerRun(100, func() { x.Fire(0) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestINTx(t *testing.T) {
	pin := func(p uint8) *Function {
		f := NewFunction("card", testIdentity)
		f.UseINTx(p)
		return f
	}
	one, two, five := pin(1), pin(4), pin(1)
	b := newBoard(t, one, two, pin(2), pin(3), five) // devices 1, 2 and 5 share line 1
	one.SetINTx(true)
	one.SetINTx(true)
	if !b.lines[1] || b.config(1, 6, 2)&statusInterrupt == 0 || b.config(2, 6, 2)&statusInterrupt != 0 {
		t.Fatal("not asserted, or not by the right function")
	}
	five.SetINTx(true)
	two.SetINTx(true)
	one.SetINTx(false)
	five.SetINTx(false)
	if !b.lines[1] {
		t.Fatal("released though device 2 asserts it")
	}
	b.setConfig(2, 4, 2, commandNoINTx)
	if b.lines[1] || b.config(2, 6, 2)&statusInterrupt == 0 {
		t.Fatal("asserted though disabled, or the status bit went away")
	}
	b.setConfig(2, 4, 2, 0)
	if !b.lines[1] {
		t.Fatal("not asserted after being enabled")
	}
	two.SetINTx(false)
	if b.lines != [4]bool{} {
		t.Fatal("a line stays asserted")
	}
}
