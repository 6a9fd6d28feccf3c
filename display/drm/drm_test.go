package drm

import (
	"errors"
	"fmt"
	"image"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
	"github.com/sharevm/vmm/display/drm/vt"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeTerminal is a terminal in a test.
type fakeTerminal struct {
	events   chan vt.Event
	released chan struct{}
	mu       sync.Mutex
	switched []int
	closed   bool
}

func (f *fakeTerminal) Events() <-chan vt.Event { return f.events }
func (f *fakeTerminal) Released()               { f.released <- struct{}{} }
func (f *fakeTerminal) Switch(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.switched = append(f.switched, n)
}

func (f *fakeTerminal) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// fakeDevices are input devices in a test.
type fakeDevices struct {
	mu     sync.Mutex
	active bool
	lights input.LEDs
}

func (f *fakeDevices) SetActive(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = on
}

func (f *fakeDevices) SetLEDs(l input.LEDs) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lights = l
}
func (f *fakeDevices) Close() error { return nil }

func (f *fakeDevices) is(on bool, l input.LEDs) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.active == on && f.lights == l
}

// rig is a screen on a fake card.
type rig struct {
	t        *testing.T
	card     *fakeCard
	terminal *fakeTerminal
	devices  *fakeDevices
	surface  *display.Surface
	source   *displaytest.Source
	hub      *input.Hub
	screen   *Screen
}

func newRig(t *testing.T, f *fakeCard, picture image.Point) *rig {
	t.Helper()
	return newRigWith(t, f, picture, nil)
}

func newRigWith(t *testing.T, f *fakeCard, picture image.Point, open opener) *rig {
	t.Helper()
	r := &rig{
		t: t, card: f, terminal: &fakeTerminal{events: make(chan vt.Event, 4), released: make(chan struct{}, 4)}, devices: &fakeDevices{}, surface: display.NewSurface(), hub: &input.Hub{},
	}
	r.source = displaytest.New(t, r.surface, picture.X, picture.Y)
	r.source.Fill(image.Rectangle{Max: picture}, 0x112233)
	r.screen = newScreen(Config{Machine: frontend.Machine{Name: "test", Surface: r.surface, Input: r.hub}})
	c, err := newCard(f, "/dev/dri/card0")
	if err != nil {
		t.Fatal(err)
	}
	r.screen.card, r.screen.open, r.screen.terminal, r.screen.devices = c, open, r.terminal, r.devices
	r.screen.run()
	t.Cleanup(func() {
		if err := r.screen.Close(); err != nil {
			t.Error(err)
		}
		if !r.terminal.closed {
			t.Error("the terminal was not given back")
		}
	})
	r.terminal.events <- vt.Acquired
	return r
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("waited for: %s", what)
		}
	}
}

func (r *rig) sees(what string, x, y, colour int) {
	r.t.Helper()
	r.until(fmt.Sprintf("%s: %#x at (%d, %d)", what, colour, x, y), func() bool { return r.card.pixel(x, y) == colour })
}

// TestPicture draws, by flips and without.
func TestPicture(t *testing.T) {
	for name, change := range map[string]func(*fakeCard){
		"flips":                 func(*fakeCard) {},
		"told of changes":       func(f *fakeCard) { f.driver = "virtio_gpu" },
		"no flips after all":    func(f *fakeCard) { f.noFlips = true },
		"lists that grow":       func(f *fakeCard) { f.growing = 1 },
		"another has it still":  func(f *fakeCard) { f.busy = true },
		"long lines":            func(f *fakeCard) { f.dumbPitch = 4096 },
		"no monitor as it were": func(f *fakeCard) { f.plugged = false },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeCard(image.Pt(320, 200), image.Pt(640, 480))
			change(f)
			r := newRig(t, f, image.Pt(320, 200))
			if f.busy {
				r.until("tries", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.requests[nrSetMaster] > 2 })
				f.set(func() { f.busy = false })
			}
			if !f.plugged {
				r.until("a look for monitors", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.requests[nrGetConnector] > 2 })
				f.set(func() { f.plugged = true })
				r.screen.plugged <- struct{}{}
			}
			r.sees("the first picture", 319, 199, 0x112233)
			if w := r.source.Wishes(); w[len(w)-1] != image.Pt(320, 200) {
				t.Errorf("the guest was asked for %v", w)
			}
			for i := range 5 {
				r.source.Fill(image.Rect(10*i, 20, 10*i+5, 30), uint32(0x010203*i))
				r.sees("a change", 10*i, 20, 0x010203*i)
				r.sees("the rest", 10*i+5, 20, 0x112233)
			}
			for i := range 5 { // each buffer has each change
				r.sees("an old change", 10*i, 20, 0x010203*i)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.off) == 0 || f.off[0] != otherCRTC || f.mode.Width != 320 {
				t.Errorf("CRTCs %v off, mode %d", f.off, f.mode.Width)
			}
			switch name {
			case "flips":
				if f.flips < 4 {
					t.Errorf("%d flips", f.flips)
				}
			case "told of changes":
				if len(f.dirtied) < 4 || f.flips > 0 {
					t.Errorf("told of %v, %d flips", f.dirtied, f.flips)
				}
			}
		})
	}
}

// TestNotTold shows a picture on a card that wants to hear of no changes: it is told once.
func TestNotTold(t *testing.T) {
	f := newFakeCard(image.Pt(100, 100))
	f.noDirty, f.driver, f.master = true, "bochs-drm", true
	c, err := newCard(f, "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.monitor(wanted{})
	if err != nil {
		t.Fatal(err)
	}
	o, err := newOutput(c, m)
	if err != nil {
		t.Fatal(err)
	}
	defer o.free()
	for range 3 {
		if err := o.present([]image.Rectangle{image.Rect(0, 0, 5, 5)}); err != nil {
			t.Error(err)
		}
	}
	if n := f.requests[nrDirtyFB]; n != 1 || f.fbs[f.shown] != o.buffers[0].handle {
		t.Errorf("told %d times", n)
	}
}

// TestScaled shows a picture of another size than the screen's.
func TestScaled(t *testing.T) {
	f := newFakeCard(image.Pt(400, 200))
	r := newRig(t, f, image.Pt(100, 100))
	r.sees("the left edge of the picture", 100, 0, 0x112233)
	r.sees("the lower right corner", 299, 199, 0x112233)
	r.sees("beside it", 99, 100, 0)
	r.sees("beside it", 300, 100, 0)
	r.source.Fill(image.Rect(50, 50, 51, 51), 0xffffff)
	r.sees("a pixel, doubled", 201, 101, 0xffffff)
	r.sees("its neighbour", 202, 101, 0x112233)
	r.source.Resize(t, 400, 200)
	r.source.Fill(image.Rect(0, 0, 400, 200), 0x334455)
	r.sees("the picture in the screen's size", 0, 0, 0x334455)
	r.surface.Off()
	r.sees("nothing", 200, 100, 0)
}

// TestCursors shows the guest's cursor: the card's, and one that is drawn.
func TestCursors(t *testing.T) {
	shape := display.CursorImage{Width: 2, Height: 2, Hot: image.Pt(1, 1), Pixels: []byte{255, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0, 255, 0, 0, 0, 128}}
	t.Run("hardware", func(t *testing.T) {
		f := newFakeCard(image.Pt(100, 100))
		r := newRig(t, f, image.Pt(100, 100))
		r.sees("the picture", 50, 50, 0x112233)
		r.surface.MoveCursor(image.Pt(50, 60))
		r.surface.SetCursor(shape)
		r.until("the cursor", func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.cursor.Handle != 0 && f.cursor.X == 49 && f.cursor.Y == 59
		})
		r.sees("the picture below", 50, 60, 0x112233)
		r.surface.SetCursor(display.CursorImage{})
		r.until("no cursor", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.hidden })
	})
	for name, change := range map[string]func(*fakeCard){"drawn": func(f *fakeCard) { f.cursorSize = 0 }, "refused": func(f *fakeCard) { f.noCursor = true }, "too small": func(f *fakeCard) { f.cursorSize = 1 }} {
		t.Run(name, func(t *testing.T) {
			f := newFakeCard(image.Pt(100, 100))
			change(f)
			r := newRig(t, f, image.Pt(100, 100))
			r.sees("the picture", 50, 50, 0x112233)
			r.surface.MoveCursor(image.Pt(50, 60))
			r.surface.SetCursor(shape)
			r.sees("the cursor", 49, 59, 0x0000ff)
			r.sees("the half of it", 50, 60, halves(0x112233))
			r.source.Fill(image.Rect(40, 50, 60, 70), 0x445566)
			r.sees("drawn over, with a cursor again", 50, 60, halves(0x445566))
			r.surface.MoveCursor(image.Pt(20, 20))
			r.sees("moved", 19, 19, 0x0000ff)
			r.sees("what was below", 49, 59, 0x445566)
			r.surface.SetCursor(display.CursorImage{})
			r.sees("hidden", 19, 19, 0x112233)
		})
	}
}

// halves is a colour below black that is half transparent.
func halves(c int) (out int) {
	for shift := 0; shift < 24; shift += 8 {
		out |= (c >> shift & 255) * (255 - 128) / 255 << shift
	}
	return out
}

// TestTerminals gives the screen up and takes it again.
func TestTerminals(t *testing.T) {
	f := newFakeCard(image.Pt(100, 100))
	r := newRig(t, f, image.Pt(100, 100))
	r.sees("the picture", 50, 50, 0x112233)
	r.hub.SetLEDs(input.LEDNum)
	r.until("the light, and input", func() bool { return r.devices.is(true, input.LEDNum) })
	r.terminal.events <- vt.Release
	<-r.terminal.released
	f.set(func() {
		if f.master {
			t.Error("the master still")
		}
		f.shown = 0
	})
	if !r.devices.is(false, input.LEDNum) {
		t.Error("input devices are grabbed while another terminal is shown")
	}
	r.source.Fill(image.Rect(0, 0, 10, 10), 0xabcdef)
	r.screen.plugged <- struct{}{} // touches nothing
	r.terminal.events <- vt.Acquired
	r.sees("what was drawn meanwhile", 5, 5, 0xabcdef)
	if !r.devices.is(true, input.LEDNum) {
		t.Error("no input")
	}
}

// TestOpenedLate opens a card while a boot splash has it, without being root: it is opened anew until it is free.
func TestOpenedLate(t *testing.T) {
	first, second := newFakeCard(image.Pt(100, 100)), newFakeCard(image.Pt(100, 100))
	first.late, second.late = true, true
	opened := 0
	var mu sync.Mutex
	r := newRigWith(t, first, image.Pt(100, 100), func(string) (kernel, error) {
		mu.Lock()
		defer mu.Unlock()
		if opened++; opened < 3 {
			f := newFakeCard(image.Pt(100, 100))
			f.late = true
			return f, nil
		}
		second.late = false
		return second, nil
	})
	r.card = second
	r.sees("the picture", 50, 50, 0x112233)
	r.until("the first one to be closed", func() bool { first.mu.Lock(); defer first.mu.Unlock(); return first.closed })
	r.source.Fill(image.Rect(0, 0, 100, 100), 0x445566)
	r.sees("a change, by a flip that is heard of", 50, 50, 0x445566)
	r.source.Fill(image.Rect(0, 0, 100, 100), 0x778899)
	r.sees("another", 50, 50, 0x778899)
}

// TestMonitors has monitors come and go.
func TestMonitors(t *testing.T) {
	f := newFakeCard(image.Pt(100, 100))
	r := newRig(t, f, image.Pt(100, 100))
	r.sees("the picture", 50, 50, 0x112233)
	f.set(func() { f.modes[0].Width, f.modes[0].Height = 200, 100 })
	r.screen.plugged <- struct{}{}
	r.sees("on a wider monitor", 150-1, 99, 0x112233)
	r.sees("beside it", 10, 50, 0)
	r.until("the wish", func() bool { w := r.source.Wishes(); return w[len(w)-1] == image.Pt(200, 100) })
	f.set(func() { f.plugged = false })
	r.screen.plugged <- struct{}{}
	r.until("all buffers are free", func() bool { return f.left() == 0 })
	f.set(func() { f.plugged = true })
	r.screen.plugged <- struct{}{}
	r.sees("again", 150-1, 99, 0x112233)
	if err := r.screen.Close(); err != nil || f.left() != 0 {
		t.Errorf("%v, %d buffers left", err, f.left())
	}
}

// TestLostConsole ends when the console's guard has been killed.
func TestLostConsole(t *testing.T) {
	f := newFakeCard(image.Pt(100, 100))
	r := newRig(t, f, image.Pt(100, 100))
	closed := make(chan struct{})
	r.screen.cfg.Closed = func() { close(closed) }
	r.terminal.events <- vt.Lost
	<-closed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.master || !r.devices.is(false, 0) {
		t.Error("card and keyboards are held still")
	}
}

// keyboard is a guest's.
type keyboard struct {
	mu  sync.Mutex
	got []string
}

func (k *keyboard) Ready() bool  { return true }
func (k *keyboard) Backlog() int { return 0 }
func (k *keyboard) Frame(events []input.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range events {
		switch e.Type {
		case input.TypeKey:
			k.got = append(k.got, fmt.Sprintf("%s %d", e.Code, e.Value))
		default:
			k.got = append(k.got, fmt.Sprintf("%d/%d %d", e.Type, e.Code, e.Value))
		}
	}
}

func (k *keyboard) take() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := strings.Join(k.got, ", ")
	k.got = nil
	return s
}

// TestHands types on two keyboards, and points.
func TestHands(t *testing.T) {
	var k keyboard
	hub := &input.Hub{}
	defer hub.Attach(input.Keyboard, &k)()
	defer hub.Attach(input.Tablet, &k)()
	s := newScreen(Config{Machine: frontend.Machine{Input: hub}})
	term := &fakeTerminal{}
	s.terminal = term
	a, b := s.attach("a"), s.attach("b")
	a.Key(input.KeyLeftCtrl, true)
	b.Key(input.KeyLeftAlt, true)
	a.Key(input.KeyF2, true)
	a.Key(input.KeyF2, false)
	b.Key(input.KeyF12, true)
	if fmt.Sprint(term.switched) != "[2 12]" {
		t.Errorf("switched to %v", term.switched)
	}
	a.Release() // its keyboard is unplugged, Ctrl and all
	b.Key(input.KeyF12, false)
	b.Key(input.KeyF3, true)
	b.Release()
	if got := k.take(); got != "leftctrl 1, leftalt 1, leftctrl 0, f3 1, leftalt 0, f3 0" && got != "leftctrl 1, leftalt 1, leftctrl 0, f3 1, f3 0, leftalt 0" {
		t.Errorf("%q", got)
	}
	s.cfg.Locked = true
	a.Key(input.KeyLeftCtrl, true)
	a.Key(input.KeyLeftAlt, true)
	a.Key(input.KeyF1, true)
	a.Key(input.KeyF1, false)
	a.Key(input.KeyLeftAlt, false)
	a.Key(input.KeyLeftCtrl, false)
	if got := k.take(); got != "leftctrl 1, leftalt 1, f1 1, f1 0, leftalt 0, leftctrl 0" || len(term.switched) != 2 {
		t.Errorf("locked: %q, switched %v", got, term.switched)
	}
	s.hands.moved(place{image.Pt(400, 200), image.Rect(100, 0, 300, 200)})
	a.Place(0x4000, 0x4000)
	if got := k.take(); got != "3/0 16465, 3/1 16465" {
		t.Errorf("the middle: %q", got)
	}
	a.Place(0, 0)
	if got := k.take(); got != "3/0 81, 3/1 81" {
		t.Errorf("beside the picture: %q", got)
	}
}

func TestOpenCard(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"card0", "card1", "card10", "card2", "renderD128"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cards := map[string]*fakeCard{}
	open := func(path string) (kernel, error) {
		f := newFakeCard(image.Pt(10, 10))
		cards[filepath.Base(path)] = f
		switch filepath.Base(path) {
		case "card0":
			return nil, fs.ErrPermission
		case "card1":
			f.plugged = false
		}
		return f, nil
	}
	log := slog.New(slog.DiscardHandler)
	for want, got := range map[string]string{"": "card2", "card1": "card1", "card10": "card10", "HDMI-A-1": "card2", "hdmi-a-1": "card2", "card10:HDMI-A-1": "card10", "DP-7": "card1"} {
		c, err := openCard(dir, parseWanted(want), open, log)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(c.path) != got {
			t.Errorf("%q chooses %s", want, c.path)
		}
		c.Close()
		for name, f := range cards {
			if name != "card0" && !f.closed {
				t.Errorf("%q leaves %s open", want, name)
			}
		}
		clear(cards)
	}
	if _, err := openCard(dir, parseWanted("card0"), open, log); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "group") {
		t.Error(err)
	}
	if _, err := openCard(t.TempDir(), wanted{}, open, log); err == nil {
		t.Error("a card out of nothing")
	}
}

// TestBadBuffers has the driver tell nonsense of its buffers.
func TestBadBuffers(t *testing.T) {
	f := newFakeCard(image.Pt(10, 10))
	f.dumbPitch = 1
	c, err := newCard(f, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newBuffer(c, image.Pt(10, 10), true); err == nil || f.left() != 0 {
		t.Errorf("%v, %d left", err, f.left())
	}
	f.growing = 1000
	if _, _, err := getResources(f); !errors.Is(err, errChanging) {
		t.Error(err)
	}
}

func TestBestMode(t *testing.T) {
	for _, test := range []struct {
		modes []modeInfo
		want  int
	}{
		{nil, -1},
		{[]modeInfo{{Width: 0, Height: 5}, {Width: 60000, Height: 5, Type: modePreferred}, {Width: 5, Height: 5, Flags: modeInterlace}}, -1},
		{[]modeInfo{{Width: 800, Height: 600}, {Width: 1024, Height: 768, Refresh: 60}, {Width: 1024, Height: 768, Refresh: 75}}, 2},
		{[]modeInfo{{Width: 800, Height: 600, Type: modePreferred}, {Width: 1024, Height: 768}}, 0},
	} {
		got := bestMode(test.modes)
		if test.want < 0 != (got == nil) || got != nil && got != &test.modes[test.want] {
			t.Errorf("%v: %v", test.modes, got)
		}
	}
}

func TestUevents(t *testing.T) {
	for msg, want := range map[string]bool{
		"change@/devices/pci/drm/card0\x00ACTION=change\x00SUBSYSTEM=drm\x00HOTPLUG=1\x00": true,
		"change@/x\x00SUBSYSTEM=drm\x00": false, "add@/y\x00SUBSYSTEM=usb\x00HOTPLUG=1\x00": false, "": false,
	} {
		if hotplug([]byte(msg)) != want {
			t.Errorf("%q", msg)
		}
	}
	for _, p := range [][]byte{nil, {2, 0, 0}, {2, 0, 0, 0, 0, 0, 0, 0}, {2, 0, 0, 0, 255, 255, 255, 255}, {2, 0, 0, 0, 16, 0, 0, 0, 1}} {
		if flips(p) != 0 {
			t.Errorf("% x is a flip", p)
		}
	}
}

// TestLayouts holds what is on the screen to where the picture is.
func TestLayouts(t *testing.T) {
	for _, test := range []struct {
		screen, picture image.Point
		want            image.Rectangle
		plain           bool
	}{
		{image.Pt(1920, 1080), image.Pt(1920, 1080), image.Rect(0, 0, 1920, 1080), true},
		{image.Pt(1024, 800), image.Pt(1024, 768), image.Rect(0, 16, 1024, 784), true},
		{image.Pt(1920, 1080), image.Pt(1024, 768), image.Rect(240, 0, 1680, 1080), false},
		{image.Pt(1920, 1080), image.Pt(640, 350), image.Rect(0, 15, 1920, 1065), false},
		{image.Pt(1950, 1080), image.Pt(640, 360), image.Rect(15, 0, 1935, 1080), false},
		{image.Pt(800, 600), image.Pt(1600, 1200), image.Rect(0, 0, 800, 600), false},
		{image.Pt(800, 600), image.Pt(16000, 1), image.Rect(0, 299, 800, 300), false},
		{image.Pt(800, 600), image.Point{}, image.Rectangle{}, true},
	} {
		l := newLayout(test.screen, test.picture)
		if l.place != test.want || (l.columns == nil) != test.plain {
			t.Errorf("%v on %v: %v, scaled %v", test.picture, test.screen, l.place, l.columns != nil)
		}
	}
}

// TestPartsAreTheWhole draws by damage what is drawn at once as well: any picture on any screen has to look the same.
func TestPartsAreTheWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	for range 150 {
		screen, picture := image.Pt(1+r.IntN(60), 1+r.IntN(60)), image.Pt(1+r.IntN(60), 1+r.IntN(60))
		s := display.NewSurface()
		src := displaytest.New(t, s, picture.X, picture.Y)
		v := s.NewViewer()
		f := &v.Update().Frame
		l := newLayout(screen, picture)
		parts := &buffer{size: screen, pitch: 4*screen.X + 8, mem: make([]byte, (4*screen.X+8)*screen.Y)}
		whole := &buffer{size: screen, pitch: parts.pitch, mem: make([]byte, len(parts.mem))}
		l.draw(parts, f, image.Rectangle{Max: screen})
		for range 8 {
			x, y := r.IntN(picture.X), r.IntN(picture.Y)
			d := image.Rect(x, y, x+1+r.IntN(picture.X-x), y+1+r.IntN(picture.Y-y))
			src.Fill(d, r.Uint32())
			l.draw(parts, f, l.onScreen(d))
		}
		l.draw(whole, f, image.Rectangle{Max: screen})
		if string(parts.mem) != string(whole.mem) {
			t.Fatalf("a picture of %v on a screen of %v", picture, screen)
		}
		v.Close()
	}
}

func TestLabel(t *testing.T) {
	e := display.EDID(1920, 1080)
	if got := edidLabel(e[:]); got != "VMV vmm" {
		t.Errorf("%q", got)
	}
	f := newFakeCard(image.Pt(10, 10))
	f.edid = e[:]
	c, err := newCard(f, "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.monitor(wanted{})
	if err != nil || m.label != "VMV vmm" || m.name != "HDMI-A-1" {
		t.Errorf("%+v, %v", m, err)
	}
}

func FuzzEDID(f *testing.F) {
	e := display.EDID(800, 600)
	f.Add(e[:])
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, c := range edidLabel(p) {
			if c < ' ' || c > '~' {
				t.Errorf("%q", edidLabel(p))
			}
		}
	})
}

// FuzzMonitor has a card with any modes, EDID and buffers: nothing may be drawn outside of what was mapped.
func FuzzMonitor(f *testing.F) {
	f.Add(uint16(320), uint16(200), uint32(8), uint32(0), uint16(100), uint16(50), []byte{1})
	f.Fuzz(func(t *testing.T, w, h uint16, kind, pitch uint32, pw, ph uint16, edid []byte) {
		card := newFakeCard(image.Pt(int(w%300), int(h%300)))
		card.modes[0].Type, card.dumbPitch, card.edid, card.master = kind, pitch%5000, edid, true
		c, err := newCard(card, "")
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.monitor(wanted{})
		if err != nil || m == nil {
			return
		}
		o, err := newOutput(c, m)
		if err != nil {
			return
		}
		s := display.NewSurface()
		displaytest.New(t, s, 1+int(pw%300), 1+int(ph%300))
		v := s.NewViewer()
		u := v.Update()
		l := newLayout(o.size, image.Pt(u.Frame.Width, u.Frame.Height))
		for _, r := range u.Damage {
			l.draw(o.back(), &u.Frame, l.onScreen(r))
		}
		l.draw(o.back(), &u.Frame, image.Rect(-5, -5, 1000, 1000))
		blend(o.back(), &display.CursorImage{Width: 3, Height: 3, Pixels: make([]byte, 36)}, image.Pt(int(pw)-100, int(ph)-100))
		if err := o.present(nil); err != nil {
			t.Error(err)
		}
		v.Close()
		o.free()
		if card.left() != 0 {
			t.Errorf("%d left", card.left())
		}
	})
}

// BenchmarkScaled draws a 1024x768 picture on a 1080p screen.
func BenchmarkScaled(b *testing.B) {
	s := display.NewSurface()
	displaytest.New(b, s, 1024, 768)
	v := s.NewViewer()
	defer v.Close()
	f := &v.Update().Frame
	screen := image.Pt(1920, 1080)
	l := newLayout(screen, image.Pt(1024, 768))
	to := &buffer{size: screen, pitch: 4 * screen.X, mem: make([]byte, 4*screen.X*screen.Y)}
	b.ReportAllocs()
	for b.Loop() {
		l.draw(to, f, image.Rectangle{Max: screen})
	}
}

// BenchmarkPlain draws a 1080p picture on a screen of that size.
func BenchmarkPlain(b *testing.B) {
	s := display.NewSurface()
	displaytest.New(b, s, 1920, 1080)
	v := s.NewViewer()
	defer v.Close()
	f := &v.Update().Frame
	screen := image.Pt(1920, 1080)
	l := newLayout(screen, screen)
	to := &buffer{size: screen, pitch: 4 * screen.X, mem: make([]byte, 4*screen.X*screen.Y)}
	b.ReportAllocs()
	for b.Loop() {
		l.draw(to, f, image.Rectangle{Max: screen})
	}
}
