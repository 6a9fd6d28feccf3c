package machine

import (
	"slices"
	"testing"
	"time"
)

func TestMarks(t *testing.T) {
	told := 0
	timeline := NewTimeline(time.Now())
	p := &markPort{timeline: timeline, ready: func() { told++ }}
	for _, n := range []byte{1, 77, MarkReady, MarkReady} {
		p.Write(0, []byte{n})
	}
	if told != 1 {
		t.Errorf("the guest's being ready was told %d times, want once", told)
	}
	var names []string
	for _, k := range timeline.Marks() {
		names = append(names, k.Name)
	}
	if want := []string{"guest: first process", "guest mark 77", "guest: ready", "guest: ready"}; !slices.Equal(names, want) {
		t.Errorf("the timeline has %q, want %q", names, want)
	}
	b := []byte{0xff}
	if p.Read(0, b); b[0] != 0 {
		t.Errorf("the port reads as %#x, want 0", b[0])
	}
	(&markPort{}).Write(0, []byte{MarkReady}) // nobody listens and nothing is recorded
}
