package input

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// sink notes what it gets.
type sink struct {
	off     bool
	backlog int
	got     []string
}

func (s *sink) Ready() bool  { return !s.off }
func (s *sink) Backlog() int { return s.backlog }
func (s *sink) Frame(events []Event) {
	var words []string
	for _, e := range events {
		words = append(words, fmt.Sprintf("%d:%d=%d", e.Type, e.Code, e.Value))
	}
	s.got = append(s.got, strings.Join(words, " "))
}

// take returns what came since it was called last.
func (s *sink) take() string {
	defer func() { s.got = nil }()
	return strings.Join(s.got, "; ")
}

func expect(t *testing.T, what string, s *sink, want string) {
	t.Helper()
	if got := s.take(); got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestTablesAgree(t *testing.T) {
	names, scans, syms := map[string]Code{}, map[uint8]Code{}, map[uint32]Code{}
	once := func(c, other Code, taken bool, what any) {
		if taken {
			t.Errorf("%v and %v have the same %v", c, other, what)
		}
	}
	for i := range keys {
		k := &keys[i]
		if i > 0 && k.code <= keys[i-1].code {
			t.Errorf("%v is out of order", k.code)
		}
		for _, n := range append([]string{k.name}, k.aliases...) {
			other, taken := names[n]
			once(k.code, other, taken, n)
			names[n] = k.code
			if c, ok := Lookup(strings.ToUpper(n)); !ok || c != k.code || strings.ContainsAny(n, "-+ ") {
				t.Errorf("%q leads to %v", n, c)
			}
		}
		other, taken := scans[k.xt]
		once(k.code, other, taken, k.xt)
		scans[k.xt] = k.code
		if c, ok := FromXT(k.code.XT()); !ok || c != k.code || !c.Known() {
			t.Errorf("scan code %#x leads to %v, not %v", k.xt, c, k.code)
		}
		for _, s := range k.keysyms {
			other, taken := syms[s]
			once(k.code, other, taken, s)
			syms[s] = k.code
			if c, ok := FromKeysym(s); !ok || c != k.code {
				t.Errorf("keysym %#x leads to %v, not %v", s, c, k.code)
			}
		}
	}
	for i := range uint8(0x53) { // the scan codes of the first PCs are Linux's codes
		if c, ok := FromXT(i + 1); ok && c != Code(i+1) {
			t.Errorf("scan code %#x leads to %d", i+1, c)
		}
	}
	for _, c := range []Code{0, 84, 0x10f, ButtonBack + 1, MaxCode, MaxCode + 1, 0xffff} {
		if c.Known() || c.XT() != 0 {
			t.Errorf("%d is known", c)
		}
	}
	if ButtonLeft.String() != "key 272" || KeyLeftCtrl.String() != "leftctrl" || len(Keys()) != len(keys) || !Buttons()[6].Known() {
		t.Error("names are wrong")
	}
}

func TestText(t *testing.T) {
	got, err := Text("aB1!\r\n~ \t\\|")
	want := []Press{{KeyA, false}, {KeyB, true}, {Key1, false}, {Key1, true}, {KeyEnter, false}, {KeyGrave, true}, {KeySpace, false}, {KeyTab, false}, {KeyBackslash, false}, {KeyBackslash, true}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for r := rune(' '); r < 0x7f; r++ {
		p, err := Text(string(r))
		if err != nil || len(p) != 1 {
			t.Errorf("%q: %v, %v", r, p, err)
			continue
		}
		if c, ok := FromKeysym(uint32(r)); !ok || c != p[0].Code {
			t.Errorf("keysym %q is %v, and is typed with %v", r, c, p[0].Code)
		}
	}
	for _, s := range []string{"ä", "a\x00", "\x1b", "\xff"} {
		if _, err := Text(s); err == nil {
			t.Errorf("%q is typed", s)
		}
	}
}

func TestChord(t *testing.T) {
	for s, want := range map[string][]Code{
		"ctrl-alt-delete": {KeyLeftCtrl, KeyLeftAlt, KeyDelete}, "A": {KeyA}, "Shift+F10": {KeyLeftShift, KeyF10}, "minus": {KeyMinus},
	} {
		if got, err := Chord(s); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-", "ctrl-alt-nothing", strings.Repeat("a-", maxChord+1)} {
		if got, err := Chord(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

func TestHolding(t *testing.T) {
	var h Hub
	ps2, virtio := &sink{}, &sink{off: true}
	h.Attach(Keyboard, ps2)
	detach := h.Attach(Keyboard, virtio)
	a, b := h.NewSource(), h.NewSource()
	a.Key(KeyA, true)
	a.Key(KeyA, true) // a repeat
	b.Key(KeyA, true)
	expect(t, "pressed by two", ps2, "1:30=1")
	virtio.off = false
	a.Key(KeyB, true)
	a.Key(KeyA, false)
	a.Key(KeyA, false)
	expect(t, "one lets go", ps2, "")
	b.Release()
	expect(t, "the key goes up where it went down", ps2, "1:30=0")
	expect(t, "a new key goes to the preferred device", virtio, "1:48=1")
	a.Release()
	a.Release()
	expect(t, "release", virtio, "1:48=0")
	a.Key(KeyC, true)
	virtio.take()
	detach()
	a.Key(KeyC, false)
	expect(t, "a device that is gone", virtio, "")
	a.Key(KeyC, true)
	expect(t, "the other takes its place", ps2, "1:46=1")
	a.Key(0, true)
	a.Key(500, true)
	a.Key(0xffff, true)
	expect(t, "no keys", ps2, "")
	if len(a.held) != 1 || len(h.down) != 1 {
		t.Errorf("held: %v, %v", a.held, h.down)
	}
	if n := h.Sent(); n != 6 { // one for each change above that a device was told of
		t.Errorf("%d frames were sent", n)
	}
}

func TestPointing(t *testing.T) {
	var h Hub
	mouse, tablet := &sink{}, &sink{off: true}
	h.Attach(Mouse, mouse)
	h.Attach(Tablet, tablet)
	s := h.NewSource()
	s.Point(10, 20, 800, 600)
	s.Point(5, 20, 800, 600)
	s.Point(-5, 9999, 800, 600)
	expect(t, "a mouse gets distances", mouse, "2:0=10 2:1=20; 2:0=-5; 2:0=-5 2:1=579")
	s.Key(ButtonLeft, true)
	s.Wheel(-1, 2)
	expect(t, "button and wheel", mouse, "1:272=1; 2:8=2 2:6=-1")
	tablet.off = false
	s.Point(0, 0, 800, 600)
	s.Point(799, 599, 800, 600)
	s.Key(ButtonLeft, false)
	s.Key(ButtonRight, true)
	expect(t, "a tablet gets places", tablet, "3:0=20 3:1=27; 3:0=32747 3:1=32740; 1:273=1")
	expect(t, "the button goes up where it went down", mouse, "1:272=0")
	s.Move(3, -4)
	s.Key(ButtonMiddle, true)
	expect(t, "motion goes to the mouse, and buttons follow", mouse, "2:0=3 2:1=-4; 1:274=1")
	mouse.off = true
	s.Move(-10, -10)
	s.Move(1<<30, 1<<30)
	expect(t, "without a mouse the tablet moves", tablet, "3:0=32587 3:1=32580; 3:0=32767 3:1=32767")
	s.Point(1, 1, 0, 0)
	s.Wheel(0, 0)
	expect(t, "nothing", tablet, "")
	for _, size := range []int{1, 640, 800, 1366, 1920, 3840} {
		for x := range size {
			if got := int(scale(x, size)) * size / (AbsMax + 1); got != x {
				t.Fatalf("pixel %d of %d is shown at %d", x, size, got)
			}
		}
	}
}

func TestLEDs(t *testing.T) {
	var h Hub
	var seen []LEDs
	stop := h.WatchLEDs(func(l LEDs) { seen = append(seen, l) })
	h.SetLEDs(LEDCaps)
	h.SetLEDs(LEDCaps)
	h.SetLEDs(LEDCaps | LEDNum)
	stop()
	h.SetLEDs(0)
	if h.LEDs() != 0 || !slices.Equal(seen, []LEDs{LEDCaps, LEDCaps | LEDNum}) {
		t.Errorf("%v", seen)
	}
}

func TestTyping(t *testing.T) {
	var h Hub
	k := &sink{off: true}
	h.Attach(Keyboard, k)
	s := h.NewSource()
	chord, _ := Chord("ctrl-alt-delete")
	if err := s.Press(t.Context(), chord); !errors.Is(err, ErrNotTaken) {
		t.Error(err)
	}
	k.off = false
	if err := s.Press(t.Context(), chord); err != nil {
		t.Error(err)
	}
	expect(t, "a chord", k, "1:29=1; 1:56=1; 1:111=1; 1:111=0; 1:56=0; 1:29=0")
	text, _ := Text("aA")
	if err := s.Type(t.Context(), text); err != nil {
		t.Error(err)
	}
	expect(t, "text", k, "1:30=1; 1:30=0; 1:42=1; 1:30=1; 1:30=0; 1:42=0")
	k.backlog = maxBacklog + 1
	ctx, cancel := context.WithTimeout(t.Context(), 3*keyTime)
	defer cancel()
	if err := s.Type(ctx, text); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	expect(t, "what was pressed is let go", k, "1:30=1; 1:30=0")
}
