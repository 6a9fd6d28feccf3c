package record

import "testing"

func TestSlotsAreDistinct(t *testing.T) {
	const slots = 1 << 10
	seen := map[uint64]bool{}
	for n := range uint64(slots) {
		s := Slot(7, n+1, slots)
		if s >= slots || seen[s] {
			t.Fatalf("record %d: slot %d", n+1, s)
		}
		seen[s] = true
	}
}

func TestIs(t *testing.T) {
	p := make([]byte, Size)
	Fill(p, 1, 2)
	if !Is(p, 1, 2) || Is(p, 1, 3) || Is(p, 2, 2) {
		t.Error("records are mixed up")
	}
	p[Size-1] ^= 1
	if Is(p, 1, 2) {
		t.Error("a torn record was taken for whole")
	}
}
