package pci

import (
	"errors"
	"testing"
)

// slot is where a Memory was placed; addresses from full on are refused.
type slot struct {
	at, full uint64
	calls    int
}

func (s *slot) Place(base uint64) error {
	s.calls++
	if base >= s.full {
		return errors.New("something is there")
	}
	s.at = base
	return nil
}

func (s *slot) Remove() error {
	s.at = 0
	return nil
}

func TestMemoryBAR(t *testing.T) {
	s := &slot{full: 0xd0000000}
	f := NewFunction("card", testIdentity)
	if err := f.AddMemoryBAR(0, Mem32, 1<<24, s); err != nil {
		t.Fatal(err)
	}
	if f.AddMemoryBAR(0, Mem32, 1<<24, s) == nil {
		t.Error("took a BAR twice")
	}
	b := newBoard(t, f, withBAR(t, 0, Mem32, 0x1000, newScratch(0x1000)))
	for _, step := range []struct {
		device, off, width int
		value, at          uint64
	}{
		{1, 0x10, 4, 0xc0000000, 0},
		{1, 4, 2, commandMemory, 0xc0000000},
		{1, 0x10, 4, 0xc1000000, 0xc1000000},
		{1, 0x10, 4, 0xd0000000, 0},          // taken by what the bus does not know
		{2, 0x10, 4, 0xd0000000, 0},          // which leaves nothing behind:
		{2, 4, 2, commandMemory, 0},          // this one decodes there
		{1, 0x10, 4, 0xc0000000, 0xc0000000}, // and back
		{2, 0x10, 4, 0xc2000000, 0xc0000000},
		{1, 0x10, 4, 0xc2000000, 0}, // taken by what the bus does know
		{2, 4, 2, 0, 0xc2000000},    // until that is gone
		{1, 4, 2, 0, 0},
	} {
		b.setConfig(step.device, step.off, step.width, step.value)
		if s.at != step.at {
			t.Fatalf("after %#x to %d:%#x the memory is at %#x, want %#x", step.value, step.device, step.off, s.at, step.at)
		}
		if step.device == 2 && step.off == 4 && step.value != 0 {
			store(b.mem, 0xd0000010, 4, 0x600d)
			if load(b.mem, 0xd0000010, 4) != 0x600d {
				t.Error("a BAR at the refused place does not decode")
			}
		}
	}
	b.setConfig(1, 4, 2, commandMemory)
	b.Reset()
	if s.at != 0 {
		t.Error("decoded after a reset")
	}
}
