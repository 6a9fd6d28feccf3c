//go:build !race

package event

import "testing"

// The race detector's own bookkeeping allocates, so this holds without it only.

func TestNothingAllocates(t *testing.T) {
	e := newEvent(t)
	if n := testing.AllocsPerRun(100, func() {
		e.Signal()
		if err := e.Wait(); err != nil {
			t.Error(err)
		}
		e.Clear()
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
