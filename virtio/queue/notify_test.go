package queue

import (
	"testing"

	"github.com/sharevm/vmm/vmm/state"
)

// serve offers n one-buffer chains, pops and pushes them, and publishes once.
func (r *ring) serve(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		r.desc(descAddr, i, dataAddr, 4, descWrite, 0)
		r.offer(uint16(i))
	}
	var c Chain
	for i := range n {
		if ok, err := r.Pop(&c); !ok || err != nil {
			t.Fatal(ok, err)
		}
		r.Push(c.Head, uint32(i))
	}
	r.Publish()
}

func TestPublishIsBatched(t *testing.T) {
	r := newRing(t, 8, noEventIdx)
	r.serve(t, 5)
	if r.usedIdx() != 5 || r.interrupts != 1 {
		t.Fatalf("used %d, %d interrupts", r.usedIdx(), r.interrupts)
	}
	for i := range uint16(5) {
		if id, n := r.usedElem(i); id != uint32(i) || n != uint32(i) {
			t.Fatalf("element %d is %d, %d", i, id, n)
		}
	}
	r.Publish()
	if r.interrupts != 1 {
		t.Fatal("an interrupt for nothing")
	}
}

func TestFlags(t *testing.T) {
	r := newRing(t, 8, noEventIdx)
	r.low[availAddr] = availNoInterrupt
	r.serve(t, 1)
	if r.interrupts != 0 {
		t.Fatal("interrupted in spite of the flag")
	}
	r.DisableNotifications()
	if r.low[usedAddr] != usedNoNotify || r.usedIdx() != 1 {
		t.Fatal("the flag was not set, or the index changed")
	}
	if r.EnableNotifications() || r.low[usedAddr] != 0 {
		t.Fatal("the flag stays, or there is work")
	}
	r.DisableNotifications()
	r.offer(0)
	if !r.EnableNotifications() {
		t.Fatal("work that came meanwhile was overlooked")
	}
}

// TestEventIdx goes around the 16-bit index twice with the driver asking at every third chain.
func TestEventIdx(t *testing.T) {
	r := newRing(t, 4)
	want := 0
	for i := range 1 << 17 {
		ask := i%3 == 0
		event := uint16(i) // the chain about to be used
		if !ask {
			event-- // one that was used already
		}
		r.setUsedEvent(event)
		r.serve(t, 1)
		if ask || i == 0 {
			want++
		}
		if r.interrupts != want {
			t.Fatalf("chain %d: %d interrupts, want %d", i, r.interrupts, want)
		}
	}
	if r.EnableNotifications() || r.availEvent() != r.availIdx() {
		t.Fatalf("event %d, index %d", r.availEvent(), r.availIdx())
	}
}

// TestEventIdxBatch holds that an event anywhere in a batch interrupts, and just outside does not.
func TestEventIdxBatch(t *testing.T) {
	for event, want := range map[uint16]int{0xffff: 0, 0: 1, 1: 1, 4: 1, 5: 0, 6: 0} {
		r := newRing(t, 8)
		r.anySignalled = true
		r.setUsedEvent(event)
		r.serve(t, 5)
		if r.interrupts != want {
			t.Errorf("event %d, batch 0-4: %d interrupts, want %d", event, r.interrupts, want)
		}
	}
}

func TestNeighboursOfIndexFieldsStay(t *testing.T) {
	r := newRing(t, 8)
	end := usedAddr + 6 + 8*8 // behind the used ring: somebody else's
	r.low[end], r.low[end+1] = 0x12, 0x34
	r.setAvailIdx(0xfffe)
	r.nextAvail, r.seenAvail = 0xfffe, 0xfffe
	r.EnableNotifications()
	if r.availEvent() != 0xfffe || r.low[end] != 0x12 || r.low[end+1] != 0x34 {
		t.Fatalf("%#x, %x", r.availEvent(), r.low[end:end+2])
	}
}

func TestStateKeepsPosition(t *testing.T) {
	r := newRing(t, 4)
	r.serve(t, 4)
	r.serve(t, 3)
	var w state.Writer
	r.Save(&w)
	fresh, err := New(Config{Memory: r.mem, Size: 4, Desc: descAddr, Avail: availAddr, Used: usedAddr, EventIdx: true, Interrupt: r.interrupt})
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh.Restore(state.NewReader(w.Data())); err != nil {
		t.Fatal(err)
	}
	before := r.interrupts
	r.setUsedEvent(0x8000)
	r.Queue = fresh
	r.serve(t, 2)
	if r.usedIdx() != 9 || r.interrupts != before+1 {
		t.Fatalf("used %d, %d interrupts more", r.usedIdx(), r.interrupts-before)
	}
}
