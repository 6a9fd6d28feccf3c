package input

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// reader is a device whose guest reads at a pace of its own, and that has little room, as a PC's keyboard.
type reader struct {
	sink
	room int // events that may wait
	lost int
}

func (r *reader) Frame(events []Event) {
	if r.backlog >= r.room {
		r.lost++
		return
	}
	r.backlog++
	r.sink.Frame(events)
}

// read has the guest read, each event in its time, until the hub needs no more.
func read(h *Hub, r *reader, each time.Duration, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(each):
		}
		h.mu.Lock()
		r.backlog = max(r.backlog-1, 0)
		h.mu.Unlock()
	}
}

// TestKept types before the guest is there, more than its keyboard takes at once, and goes on while it gets that: everything comes, in its order.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Hub
		h.Keep()
		k := &reader{room: 2 * maxBacklog}
		s := h.NewSource()
		want := []string{"1:42=1"}
		s.Key(KeyLeftShift, true)
		for i := range 100 {
			c := KeyQ + Code(i%10)
			s.Key(c, true)
			s.Key(c, true) // a repeat
			s.Key(c, false)
			want = append(want, fmt.Sprintf("1:%d=1", c), fmt.Sprintf("1:%d=0", c))
		}
		h.Attach(Keyboard, k)
		if len(k.got) != 0 || h.Sent() != 0 {
			t.Errorf("got %q before the guest is there", k.got)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.Deliver(nil)
		}()
		go read(&h, k, time.Second, done)
		time.Sleep(5 * time.Second)
		s.Key(KeyEnter, true)
		s.Release()
		<-done
		if got := k.got[len(k.got)-3:]; !slices.Contains(got[1:], "1:42=0") || !slices.Contains(got[1:], "1:28=0") || got[0] != "1:28=1" {
			t.Errorf("the last are %q", got)
		}
		if got := k.got[:len(k.got)-3]; !slices.Equal(got, want) || k.lost != 0 {
			t.Errorf("%d were lost; got %q, want %q", k.lost, got, want)
		}
		k.got, k.backlog = nil, 0
		s.Key(KeyA, true)
		expect(t, "at once from then on", &k.sink, "1:30=1")
	})
}

// TestKeptForNobody has the guest's keyboard take nothing, or the machine end: neither waits for ever, and nothing stays pressed.
func TestKeptForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, stop := range map[string]chan struct{}{"ends": make(chan struct{}), "takes nothing": nil} {
			var h Hub
			h.Keep()
			k := &reader{room: maxBacklog + 1}
			h.Attach(Keyboard, k)
			s := h.NewSource()
			for range 20 {
				s.Key(KeyA, true)
				s.Key(KeyA, false)
			}
			begun := time.Now()
			if stop != nil {
				time.AfterFunc(time.Second, func() { close(stop) })
			}
			h.Deliver(stop)
			if took := time.Since(begun); took > keptPatience+time.Second || stop != nil && took > 2*time.Second {
				t.Errorf("%s: it took %v", name, took)
			}
			if k.lost == 0 || len(h.down) != 0 || h.kept.on {
				t.Errorf("%s: %d were lost, %v are down", name, k.lost, h.down)
			}
		}
	})
}

// TestKeptMotion points before the guest is there: only where the pointer is in the end matters, and where buttons went down.
func TestKeptMotion(t *testing.T) {
	var h Hub
	h.Keep()
	tablet := &sink{}
	h.Attach(Tablet, tablet)
	s := h.NewSource()
	for x := range 5000 {
		s.Point(x%800, 0, 800, 600)
	}
	s.Point(0, 0, 800, 600)
	s.Key(ButtonLeft, true)
	for x := range 5000 {
		s.Point(x%800, 0, 800, 600)
	}
	s.Point(799, 599, 800, 600)
	s.Key(ButtonLeft, false)
	for range 3 {
		s.Wheel(1, -2)
	}
	h.Deliver(nil)
	expect(t, "motion", tablet, "3:0=20 3:1=27; 1:272=1; 3:0=32747 3:1=32740; 1:272=0; 2:8=-6 2:6=3")
	h.Keep()
	s.Move(-1, -2)
	s.Move(-3, -4)
	h.Deliver(nil)
	expect(t, "distances", tablet, fmt.Sprintf("3:0=%d 3:1=%d", 32747-4*tabletStep, 32740-6*tabletStep))
}

// TestKeptBound types more than is kept, by many viewers that come and go: the first is kept, and what was pressed is released.
func TestKeptBound(t *testing.T) { synctest.Test(t, keptBound) }

func keptBound(t *testing.T) {
	var h Hub
	h.Keep()
	k := &sink{}
	h.Attach(Keyboard, k)
	for range 1000 {
		s := h.NewSource()
		for _, c := range Keys() {
			s.Key(c, true)
		}
		s.Point(1, 1, 2, 2)
		s.Wheel(1, 1)
		s.Release()
	}
	if n := len(h.kept.acts); n > maxKept {
		t.Errorf("%d acts are kept", n)
	}
	h.Deliver(nil)
	downs, ups := 0, 0
	for _, e := range k.got {
		if strings.HasSuffix(e, "=1") {
			downs++
		} else {
			ups++
		}
	}
	if downs != ups || downs < maxKept/4 || len(h.down) != 0 || k.got[0] != "1:1=1" {
		t.Errorf("%d presses and %d releases, %d are down", downs, ups, len(h.down))
	}
}
