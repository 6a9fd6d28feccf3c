package pci

import (
	"fmt"
	"testing"

	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

const msiCap = 0x40

func newMSI(t testing.TB, alloc irq.MSIAllocator, vectors int, features MSIFeatures) (*board, *MSI) {
	t.Helper()
	f := NewFunction("card", testIdentity)
	m, err := f.AddMSI(alloc, vectors, features)
	if err != nil {
		t.Fatal(err)
	}
	return newBoard(t, f), m
}

func (a *messages) take() (sent []irq.Message) {
	sent, a.sent = a.sent, nil
	return sent
}

func TestMSIRegisters(t *testing.T) {
	for _, c := range []struct {
		vectors       int
		features      MSIFeatures
		control, data uint64
		mask          int // offset from the capability, or 0
		maskBits      uint64
	}{
		{1, 0, 0, 8, 0, 0},
		{32, 0, 5 << 1, 8, 0, 0},
		{4, MSI64, 2<<1 | msiWide, 12, 0, 0},
		{2, MSIMaskable, 1<<1 | msiMaskable, 8, 12, 3},
		{32, MSI64 | MSIMaskable, 5<<1 | msiWide | msiMaskable, 12, 16, 0xffffffff},
	} {
		b, _ := newMSI(t, quiet{}, c.vectors, c.features)
		name := fmt.Sprintf("%d vectors, features %d", c.vectors, c.features)
		if got := b.config(1, msiCap, 4); got != CapMSI|c.control<<16 {
			t.Errorf("%s: capability %#x", name, got)
		}
		for off := msiCap; off < 0x100; off += 4 {
			b.setConfig(1, off, 4, 0xffffffff)
		}
		data := uint64(0xffff)
		if got := b.config(1, msiCap+msiAddress, 4); got != 0xfffffffc {
			t.Errorf("%s: address %#x", name, got)
		}
		if got := b.config(1, msiCap+int(c.data), 4); got != data {
			t.Errorf("%s: data %#x", name, got)
		}
		if c.mask != 0 && b.config(1, msiCap+c.mask, 8) != c.maskBits {
			t.Errorf("%s: mask and pending %#x", name, b.config(1, msiCap+c.mask, 8))
		}
		if got, want := b.config(1, msiCap+msiControl, 2), c.control|msiEnable|msiGrantedBits; got != want {
			t.Errorf("%s: control %#x, want %#x", name, got, want)
		}
	}
}

func TestMSI(t *testing.T) {
	alloc := new(messages)
	b, m := newMSI(t, alloc, 4, MSI64|MSIMaskable)
	expect := func(what string, want ...uint32) {
		t.Helper()
		sent := alloc.take()
		if len(sent) != len(want) {
			t.Fatalf("%s: sent %v, want %v", what, sent, want)
		}
		for i, s := range sent {
			if s.Data != want[i] || s.Address != 0x1_fee0_1000 {
				t.Fatalf("%s: sent %v, want %v", what, sent, want)
			}
		}
	}
	m.Fire(0)
	expect("while disabled")
	b.setConfig(1, msiCap+4, 8, 0x1_fee0_1003)
	b.setConfig(1, msiCap+12, 2, 0x4041)
	b.setConfig(1, msiCap+16, 4, 2)
	if alloc.sets != 0 {
		t.Fatal("routed before it is enabled")
	}
	b.setConfig(1, msiCap+2, 2, msiEnable|2<<msiGranted)
	if !m.Enabled() || m.Granted() != 4 {
		t.Fatalf("enabled %v, granted %d", m.Enabled(), m.Granted())
	}
	m.Fire(0)
	m.Fire(1)
	m.Fire(3)
	m.Fire(6) // the guest has granted four
	m.Fire(-1)
	expect("with one masked", 0x4040, 0x4043, 0x4042)
	if got := b.config(1, msiCap+20, 4); got != 2 {
		t.Fatalf("pending %#x", got)
	}
	if got := b.config(1, msiCap+19, 3); got != 0x0200 {
		t.Fatalf("pending across a register %#x", got)
	}
	b.setConfig(1, msiCap+20, 4, 0)
	b.setConfig(1, msiCap+16, 4, 0)
	expect("unmasked", 0x4041)
	b.setConfig(1, msiCap+2, 2, msiEnable) // one vector only
	m.Fire(3)
	expect("folded", 0x4040|1) // bit 0 of the data is the guest's own now
	b.setConfig(1, msiCap+2, 2, msiEnable|7<<msiGranted)
	if m.Granted() != 4 {
		t.Fatalf("granted %d of 4", m.Granted())
	}
	b.setConfig(1, msiCap+16, 4, 1)
	m.Fire(0)
	b.Reset()
	if b.config(1, msiCap+20, 4) != 0 || m.Enabled() {
		t.Fatal("a reset leaves something")
	}
	m.Fire(0)
	expect("after a reset")
	m.Close()
	for i, v := range alloc.all {
		if !v.closed {
			t.Errorf("vector %d stays open", i)
		}
	}
}

func TestAddMSIRefuses(t *testing.T) {
	for _, n := range []int{0, 3, 64, -1} {
		if _, err := NewFunction("card", testIdentity).AddMSI(quiet{}, n, 0); err == nil {
			t.Errorf("accepted %d vectors", n)
		}
	}
}

func TestMSISnapshot(t *testing.T) {
	alloc := new(messages)
	b, m := newMSI(t, alloc, 2, MSIMaskable)
	b.setConfig(1, msiCap+4, 4, 0xfee01000)
	b.setConfig(1, msiCap+8, 2, 0x30)
	b.setConfig(1, msiCap+12, 4, 1)
	b.setConfig(1, msiCap+2, 2, msiEnable|1<<msiGranted)
	m.Fire(0)
	var other *board
	statetest.Cycle(t, card{b.functions[1<<3]}, func() state.Device {
		other, m = newMSI(t, alloc, 2, MSIMaskable)
		return card{other.functions[1<<3]}
	})
	alloc.take()
	m.Fire(1)
	other.setConfig(1, msiCap+12, 4, 0)
	if sent := alloc.take(); len(sent) != 2 || sent[0].Data != 0x31 || sent[1].Data != 0x30 {
		t.Fatalf("sent %v", sent)
	}
}
