package session

import (
	"testing"

	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/session/link/linktest"
)

// settled says whether a machine has heard of keys, and holds none.
func (g *guest) settled() bool {
	down := map[input.Code]bool{}
	heard := false
	for _, e := range g.events() {
		if e.Type == input.TypeKey {
			heard = true
			if down[e.Code] = e.Value != 0; e.Value == 0 {
				delete(down, e.Code)
			}
		}
	}
	return heard && len(down) == 0
}

// TestEarlyTurn presses a key for a machine that has no process yet, turns away, lets it go there, and comes back: the machine does not hold it.
func TestEarlyTurn(t *testing.T) {
	r := newRig(t, 1)
	n := r.Add("late")
	turn := func(to int) {
		if err := r.Turn(to); err != nil {
			t.Fatal(err)
		}
	}
	turn(n)
	r.keys.Key(input.KeyA, true)
	turn(0)
	r.keys.Key(input.KeyA, false)
	turn(n)
	r.connect(t, n)
	linktest.Eventually(t, "the key, and its release", r.guests[n].settled)
}

// TestEarlyFlood turns the wheel for a machine that has no process yet until no more is kept: what was pressed before is released, and there is a bound.
func TestEarlyFlood(t *testing.T) {
	r := newRig(t, 0)
	n := r.Add("late")
	r.keys.Key(input.KeyA, true)
	for range 3 * maxEarly {
		r.keys.Wheel(0, 1)
	}
	r.keys.Key(input.KeyB, true)
	r.keys.Key(input.KeyA, false)
	r.keys.Key(input.KeyB, false)
	r.mu.Lock()
	if kept := len(r.machines[n].early.frames); kept != maxEarly+1 {
		t.Errorf("%d frames are kept", kept)
	}
	r.mu.Unlock()
	r.connect(t, n)
	linktest.Eventually(t, "the key, and its release", r.guests[n].settled)
}

// TestEarlyOrder points and clicks, twice: what was clicked on is what the pointer was on.
func TestEarlyOrder(t *testing.T) {
	var e early
	place := func(x int32) []input.Event {
		return []input.Event{{Type: input.TypeAbs, Code: input.AbsX, Value: x}, {Type: input.TypeAbs, Code: input.AbsY, Value: x}}
	}
	for x := range int32(3) {
		e.add(place(100 * x))
		e.add(place(100*x + 1))
		for v := int32(1); v >= 0; v-- {
			e.add([]input.Event{{Type: input.TypeKey, Code: input.ButtonLeft, Value: v}})
		}
	}
	var got []int32
	for _, frame := range e.frames {
		if len(frame) > 2 {
			t.Errorf("frame %v", frame)
		}
		got = append(got, frame[0].Value)
	}
	want := []int32{1, 1, 0, 101, 1, 0, 201, 1, 0}
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}
