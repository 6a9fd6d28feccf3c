package x11

import (
	"fmt"
	"image"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sharevm/vmm/display/input"
)

// taker is a device that keeps what it gets.
type taker struct {
	mu  sync.Mutex
	got []input.Event
}

func (k *taker) Ready() bool  { return true }
func (k *taker) Backlog() int { return 0 }
func (k *taker) Frame(events []input.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.got = append(k.got, events...)
}

// take returns what came since the last call.
func (k *taker) take() []input.Event {
	k.mu.Lock()
	defer k.mu.Unlock()
	got := k.got
	k.got = nil
	return got
}

// keys are key events as text: +a -a.
func (k *taker) keys() string {
	var b []string
	for _, e := range k.take() {
		b = append(b, fmt.Sprintf("%c%s", "-+"[e.Value], e.Code))
	}
	return strings.Join(b, " ")
}

func TestKeys(t *testing.T) {
	const ctrl, alt, enter, del, a = input.KeyLeftCtrl, input.KeyLeftAlt, input.KeyEnter, input.KeyDelete, input.KeyA
	up := func(c input.Code) input.Code { return c | 1<<15 }
	for _, test := range []struct {
		name string
		do   []input.Code
		want []action
		sent string
	}{
		{"letter, repeated", []input.Code{a, a, a, up(a)}, nil, "+a -a"},
		{"release", []input.Code{ctrl, alt, up(ctrl), up(alt)}, []action{letGo}, "+leftctrl +leftalt -leftctrl -leftalt"},
		{"release with repeats", []input.Code{alt, alt, ctrl, ctrl, up(alt), up(ctrl)}, []action{letGo}, "+leftalt +leftctrl -leftalt -leftctrl"},
		{"another key in between", []input.Code{ctrl, alt, del, alt, up(del), up(alt), up(ctrl)}, nil, "+leftctrl +leftalt +delete -delete -leftalt -leftctrl"},
		{"full screen", []input.Code{ctrl, alt, enter, up(enter), up(alt), up(ctrl)}, []action{toggleFullScreen}, "+leftctrl +leftalt -leftalt -leftctrl"},
		{"one at a time", []input.Code{ctrl, up(ctrl), alt, up(alt)}, nil, "+leftctrl -leftctrl +leftalt -leftalt"},
		{"enter", []input.Code{enter, up(enter)}, nil, "+enter -enter"},
	} {
		var hub input.Hub
		k := &taker{}
		hub.Attach(input.Keyboard, k)
		h := hands{source: hub.NewSource()}
		var did []action
		for _, c := range test.do {
			if act := h.key(c&^(1<<15), c>>15 == 0); act != nothing {
				did = append(did, act)
			}
		}
		if !slices.Equal(did, test.want) {
			t.Errorf("%s: %v, want %v", test.name, did, test.want)
		}
		if sent := k.keys(); sent != test.sent {
			t.Errorf("%s: sent %q, want %q", test.name, sent, test.sent)
		}
	}
}

// TestMotion moves a pointer that is put back to the middle again and again: what the guest gets is what it moved.
func TestMotion(t *testing.T) {
	var hub input.Hub
	k := &taker{}
	hub.Attach(input.Mouse, k)
	h := hands{source: hub.NewSource()}
	size := image.Pt(400, 300)
	at, total := size.Div(2), 0
	h.move(at, size)
	warps := 0
	for range 500 {
		at.X += 7
		total += 7
		if h.move(at, size) {
			warps++
			// Motion that was under way when the pointer was put back comes first.
			at.X += 3
			total += 3
			h.move(at, size)
			at = size.Div(2)
			h.move(at, size)
		}
	}
	got := 0
	for _, e := range k.take() {
		if e.Code != input.RelX {
			t.Errorf("event %+v", e)
		}
		got += int(e.Value)
	}
	if got != total || warps < 5 {
		t.Errorf("moved by %d with %d warps, want %d", got, warps, total)
	}
}
