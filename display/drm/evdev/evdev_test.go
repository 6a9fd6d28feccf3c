package evdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/display/input"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder notes what users do, as words.
type recorder struct {
	mu   sync.Mutex
	got  []string
	held map[input.Code]bool
}

func (r *recorder) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, fmt.Sprintf(format, args...))
}

func (r *recorder) Key(c input.Code, down bool) {
	r.mu.Lock()
	if r.held == nil {
		r.held = map[input.Code]bool{}
	}
	was := r.held[c]
	r.held[c] = down
	r.mu.Unlock()
	if was == down {
		return // as a Source does
	}
	name := c.String()
	if c.IsButton() {
		name = fmt.Sprintf("button%d", c-input.ButtonLeft)
	}
	r.add("%c%s", "-+"[map[bool]int{true: 1}[down]], name)
}
func (r *recorder) Move(dx, dy int)       { r.add("move %d %d", dx, dy) }
func (r *recorder) Place(x, y int32)      { r.add("place %d %d", x, y) }
func (r *recorder) Wheel(right, away int) { r.add("wheel %d %d", right, away) }
func (r *recorder) Release()              { r.add("release") }
func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := strings.Join(r.got, ", ")
	r.got = nil
	return s
}

// bits is a set of codes.
func bits(codes ...int) []byte {
	set := make([]byte, keyBytes)
	for _, c := range codes {
		set[c/8] |= 1 << (c % 8)
	}
	return set
}

// ev is an event; at is in milliseconds.
type ev struct {
	typ, code uint16
	value     int32
	at        int
}

var report = ev{}

func stream(events ...ev) (p []byte) {
	at := 0
	for _, e := range events {
		at = max(at, e.at)
		var b [eventSize]byte
		binary.LittleEndian.PutUint64(b[:], uint64(at/1000))
		binary.LittleEndian.PutUint64(b[8:], uint64(at%1000*1000))
		binary.LittleEndian.PutUint16(b[16:], e.typ)
		binary.LittleEndian.PutUint16(b[18:], e.code)
		binary.LittleEndian.PutUint32(b[20:], uint32(e.value))
		p = append(p, b[:]...)
	}
	return p
}

var (
	keyboardCaps = capabilities{keys: bits(int(input.KeyA), int(input.KeyB), int(input.KeyPower))}
	mouseCaps    = capabilities{keys: bits(btnLeft), rel: bits(relX, relY, relWheel)}
	padCaps      = capabilities{keys: bits(btnLeft, btnToolFinger, btnTouch, btnToolDouble), abs: bits(absX, absY), x: axis{0, 1199}, y: axis{0, 599}}
	tabletCaps   = capabilities{keys: bits(btnLeft, btnTouch), abs: bits(absX, absY), x: axis{0, 0x7fff}, y: axis{0, 0x7fff}}
	touchCaps    = capabilities{keys: bits(btnTouch), abs: bits(absX, absY), props: bits(propDirect), x: axis{-100, 99}, y: axis{0, 99}}
)

func TestClassify(t *testing.T) {
	for _, test := range []struct {
		name string
		c    capabilities
		want kind
	}{
		{"keyboard", keyboardCaps, keyboard},
		{"mouse", mouseCaps, mouse},
		{"touchpad", padCaps, touchpad},
		{"QEMU's tablet", tabletCaps, tablet},
		{"touchscreen", touchCaps, tablet},
		{"power button", capabilities{keys: bits(int(input.KeyPower))}, other},
		{"lid", capabilities{}, other},
		{"brightness", capabilities{keys: bits(224, 225)}, other},
		{"gamepad", capabilities{keys: bits(btnGamepad, btnGamepad+1), abs: bits(absX, absY), x: axis{0, 255}, y: axis{0, 255}}, other},
		{"axes without a range", capabilities{keys: bits(btnTouch), abs: bits(absX, absY)}, other},
	} {
		if got := test.c.classify(); got != test.want {
			t.Errorf("%s is taken for a %v", test.name, got)
		}
	}
}

func TestTranslate(t *testing.T) {
	key := func(c input.Code, v int32) ev { return ev{typ: evKey, code: uint16(c), value: v} }
	tool := func(c uint16, v int32, at int) ev { return ev{evKey, c, v, at} }
	abs := func(x, y int32) []ev {
		return []ev{{typ: evAbs, code: absX, value: x}, {typ: evAbs, code: absY, value: y}}
	}
	for _, test := range []struct {
		name   string
		k      kind
		c      capabilities
		events []ev
		want   string
	}{
		{"keys, repeated, and one that nobody knows", keyboard, keyboardCaps, []ev{key(input.KeyA, 1), report, key(input.KeyA, 2), report, key(0x2f0, 1), key(input.KeyA, 0), report}, "+a, -a"},
		{"nothing before its report", keyboard, keyboardCaps, []ev{key(input.KeyA, 1)}, ""},
		{"mouse", mouse, mouseCaps, []ev{{typ: evRel, code: relX, value: 3}, {typ: evRel, code: relY, value: -2}, key(input.ButtonLeft, 1), report, {typ: evRel, code: relWheel, value: -1}, report},
			"move 3 -2, +button0, wheel 0 -1"},
		{"high resolution is passed over", mouse, mouseCaps, []ev{{typ: evRel, code: 11, value: 120}, report}, ""},
		{"a mouse that raves", mouse, mouseCaps, []ev{{typ: evRel, code: relX, value: 1 << 30}, {typ: evRel, code: relX, value: 1 << 30}, report}, "move 4096 0"},
		{"tablet", tablet, tabletCaps, append(abs(0x4000, 0x7fff), key(input.ButtonLeft, 1), report), "place 16384 32767, +button0"},
		{"touchscreen", tablet, touchCaps, append(append(abs(0, 500), tool(btnTouch, 1, 0), report), tool(btnTouch, 0, 0), report), "place 16384 32440, +button0, -button0"},
		{"one finger", touchpad, padCaps, slices.Concat([]ev{tool(btnTouch, 1, 0), tool(btnToolFinger, 1, 0)}, abs(100, 100), []ev{report}, abs(110, 95), []ev{report}, abs(200, 95), []ev{report, tool(btnTouch, 0, 900), report}),
			"move 10 -5, move 90 0"},
		{"two fingers", touchpad, padCaps, slices.Concat([]ev{tool(btnTouch, 1, 0), tool(btnToolDouble, 1, 0)}, abs(100, 100), []ev{report}, abs(100, 180), []ev{report, tool(btnTouch, 0, 900), report}), "wheel 0 -2"},
		{"a tap", touchpad, padCaps, slices.Concat([]ev{tool(btnTouch, 1, 0), tool(btnToolFinger, 1, 0)}, abs(100, 100), []ev{report, tool(btnTouch, 0, 90), report}), "+button0, -button0"},
		{"a tap of two", touchpad, padCaps, slices.Concat([]ev{tool(btnTouch, 1, 0), tool(btnToolDouble, 1, 0)}, abs(100, 100), []ev{report, tool(btnTouch, 0, 90), report}), "+button1, -button1"},
		{"too long for a tap", touchpad, padCaps, slices.Concat([]ev{tool(btnTouch, 1, 0)}, abs(100, 100), []ev{report, tool(btnTouch, 0, 400), report}), ""},
		{"a click with two fingers", touchpad, padCaps, slices.Concat([]ev{tool(btnTouch, 1, 0), tool(btnToolDouble, 1, 0)}, abs(1, 1), []ev{report, tool(btnLeft, 1, 50), report, tool(btnLeft, 0, 60), report, tool(btnTouch, 0, 90), report}),
			"+button1, -button1"},
	} {
		r := &recorder{}
		tr := newTranslator(test.k, test.c, r)
		p := stream(test.events...)
		for len(p) > 0 { // in pieces of any size
			n := min(len(p), 37)
			if tr.feed(p[:n]) {
				t.Errorf("%s: events were lost", test.name)
			}
			p = p[n:]
		}
		if got := r.take(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestLost has the kernel lose events: what is in between does not count, and the keys are asked for.
func TestLost(t *testing.T) {
	r := &recorder{}
	tr := newTranslator(keyboard, keyboardCaps, r)
	a := ev{typ: evKey, code: uint16(input.KeyA), value: 1}
	b := ev{typ: evKey, code: uint16(input.KeyB), value: 1}
	if tr.feed(stream(a, report)) || !tr.feed(stream(ev{typ: evSyn, code: synDropped}, b, report)) {
		t.Fatal("lost events")
	}
	tr.sync(bits(int(input.KeyB)))
	if got := r.take(); got != "+a, -a, +b" {
		t.Errorf("%q", got)
	}
	if tr.feed(stream(report)) {
		t.Error("lost for ever")
	}
}

// fake is a device in a test: a pipe.
type fake struct {
	io.ReadCloser
	mu      sync.Mutex
	caps    capabilities
	state   []byte
	grabbed []bool
	written []byte
}

func (f *fake) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written = slices.Clone(p)
	return len(p), nil
}

func (f *fake) grab(on bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.grabbed = append(f.grabbed, on)
	return nil
}

func (f *fake) down() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.state), nil
}

func (f *fake) describe() (string, capabilities, error) { return "fake", f.caps, nil }

func (f *fake) grabs() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprint(f.grabbed)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for: %s", what)
		}
	}
}

func TestDevices(t *testing.T) {
	dir := t.TempDir()
	r, w := io.Pipe()
	f := &fake{ReadCloser: r, caps: keyboardCaps, state: bits(int(input.KeyA))}
	denied := true
	rec := &recorder{}
	var mu sync.Mutex
	d, err := Open(Config{Dir: dir, Attach: func(string) Handler { return rec }, open: func(path string) (node, error) {
		mu.Lock()
		defer mu.Unlock()
		if filepath.Base(path) != "event3" {
			return nil, errNoDevice
		}
		if denied { // udev has not been there yet
			return nil, os.ErrPermission
		}
		return f, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.SetActive(true)
	for _, name := range []string{"mouse0", "event1", "event3"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if names := d.Names(); len(names) != 0 {
		t.Fatal(names)
	}
	mu.Lock()
	denied = false
	mu.Unlock()
	if err := os.Chmod(filepath.Join(dir, "event3"), 0o660); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the device", func() bool { return len(d.Names()) == 1 })
	if got := f.grabs(); got != "[]" {
		t.Errorf("grabbed while a key was down: %s", got)
	}
	send := func(events ...ev) {
		t.Helper()
		if _, err := w.Write(stream(events...)); err != nil {
			t.Fatal(err)
		}
	}
	f.mu.Lock()
	f.state = bits()
	f.mu.Unlock()
	b := func(v int32) ev { return ev{typ: evKey, code: uint16(input.KeyB), value: v} }
	send(b(1), report)
	eventually(t, "a key", func() bool { return rec.take() == "+b" })
	eventually(t, "the grab", func() bool { return f.grabs() == "[true]" })
	d.SetLEDs(input.LEDCaps)
	if e := f.written[eventSize+16:]; e[0] != evLED || e[2] != 1 || e[4] != 1 {
		t.Errorf("the light: % x", f.written)
	}
	d.SetActive(false)
	if got := rec.take(); got != "release" || f.grabs() != "[true false]" {
		t.Errorf("%q, grabs %s", got, f.grabs())
	}
	send(b(0), report)
	send(b(1), report) // read for nobody
	d.SetActive(true)
	send(b(0), report)
	send(b(1), report)
	eventually(t, "keys after that", func() bool { return strings.HasSuffix(rec.take(), "+b") })
	w.CloseWithError(errors.New("unplugged"))
	eventually(t, "the end", func() bool { return len(d.Names()) == 0 })
	if got := rec.take(); got != "release" {
		t.Errorf("%q", got)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestRealDevices looks at this host's own devices, without taking them.
func TestRealDevices(t *testing.T) {
	paths, _ := filepath.Glob("/dev/input/event*")
	looked := 0
	for _, p := range paths {
		n, err := openNode(p)
		if err != nil {
			continue
		}
		if _, _, err := n.describe(); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		n.Close()
		looked++
	}
	if looked == 0 {
		t.Skip("this host has no input devices that open")
	}
}

func TestNotADevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "event0")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openNode(path); !errors.Is(err, errNoDevice) {
		t.Error(err)
	}
}

// FuzzEvents feeds bytes to devices of every kind. What comes out must be in bounds, and no key may stay down that the device can report as up.
func FuzzEvents(f *testing.F) {
	f.Add(uint8(0), int32(0), int32(0), stream(ev{typ: evKey, code: 30, value: 1}, report))
	f.Add(uint8(2), int32(0), int32(1199), stream(ev{typ: evKey, code: btnTouch, value: 1}, ev{typ: evAbs, code: absX, value: 5}, report, ev{typ: evSyn, code: synDropped}, report))
	f.Add(uint8(3), int32(-5), int32(5), stream(ev{typ: evAbs, code: absY, value: -5}, report))
	f.Fuzz(func(t *testing.T, which uint8, lo, hi int32, p []byte) {
		c := []capabilities{keyboardCaps, mouseCaps, padCaps, tabletCaps}[which%4]
		c.x, c.y = axis{lo, hi}, axis{hi, lo}
		b := &bounded{t: t}
		tr := newTranslator(kind(which%4)+keyboard, c, b)
		for len(p) > 0 {
			n := min(len(p), 100)
			if tr.feed(p[:n]) {
				tr.sync(make([]byte, keyBytes))
			}
			p = p[n:]
		}
		if cap(tr.keys) != maxKeys || len(tr.rest) >= eventSize {
			t.Errorf("%d keys, %d bytes are kept", cap(tr.keys), len(tr.rest))
		}
	})
}

// bounded checks what it gets.
type bounded struct{ t *testing.T }

func (b *bounded) Key(c input.Code, _ bool) {
	if !c.Known() {
		b.t.Errorf("key %d", c)
	}
}

func (b *bounded) Move(dx, dy int) {
	if max(dx, -dx, dy, -dy) > maxStep {
		b.t.Errorf("motion by %d, %d", dx, dy)
	}
}

func (b *bounded) Place(x, y int32) {
	if min(x, y) < 0 || max(x, y) > input.AbsMax {
		b.t.Errorf("place %d, %d", x, y)
	}
}

func (b *bounded) Wheel(right, away int) {
	if max(right, -right, away, -away) > maxStep {
		b.t.Errorf("wheel %d, %d", right, away)
	}
}

func (b *bounded) Release() {}
