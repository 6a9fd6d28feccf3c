package pci

import (
	"testing"

	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// card is a function as a state.Device.
type card struct{ *Function }

func (card) Pause()  {}
func (card) Resume() {}

func TestFunctionSnapshot(t *testing.T) {
	alloc := new(messages)
	b, x, _ := newMSIX(t, alloc)
	b.setConfig(1, msixCtrl, 2, msixEnable)
	b.program(0, 0xfee01000, 7, 0)
	b.program(1, 0xfee01000, 8, entryMasked)
	x.Fire(1)
	x.Fire(0)
	alloc.sent = nil
	var other *board
	var vectors *MSIX
	statetest.Cycle(t, card{b.functions[1<<3]}, func() state.Device {
		other, vectors, _ = newMSIX(t, alloc)
		return card{other.functions[1<<3]}
	})
	if load(other.mem, msixBAR+pbaAt, 1) != 2 {
		t.Fatal("not decoded at its place, or a pending bit was lost")
	}
	vectors.Fire(0)
	other.program(1, 0xfee01000, 8, 0)
	if len(alloc.sent) != 2 || alloc.sent[0].Data != 7 || alloc.sent[1].Data != 8 {
		t.Fatalf("sent %v", alloc.sent)
	}
}

func TestRootSnapshot(t *testing.T) {
	b := newBoard(t)
	store(b.io, 0xcf8, 4, 0x80000000)
	var other *board
	statetest.Cycle(t, b.Root, func() state.Device {
		other = newBoard(t)
		return other.Root
	})
	if got := load(other.io, 0xcfc, 4); got != 0x29c08086 {
		t.Fatalf("the latch was lost: %#x", got)
	}
}

func TestRestoreRefusesOtherFunctions(t *testing.T) {
	b := newBoard(t, NewFunction("disk", testIdentity), NewFunction("other", HostBridge))
	var w state.Writer
	b.functions[1<<3].Save(&w)
	if err := b.functions[2<<3].Restore(state.NewReader(w.Data())); err == nil {
		t.Fatal("the state of another function was taken")
	}
	if b.config(2, 0, 4) != 0x29c08086 {
		t.Fatal("a refused state changed the function")
	}
}
