package session

import (
	"image"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/session/link"
	"github.com/sharevm/vmm/session/link/linktest"
)

func TestMain(m *testing.M) {
	if how := os.Getenv(childEnv); how != "" {
		os.Exit(child(how))
	}
	goleak.VerifyTestMain(m)
}

// guest is a machine of a test: one colour, and a keyboard that remembers.
type guest struct {
	screen *displaytest.Source
	colour uint32
	remote *link.Remote
	server *link.Server
	clip   *frontend.Holder
	pasted chan string // into the guest

	mu  sync.Mutex
	got []input.Event
}

func (g *guest) Ready() bool  { return true }
func (g *guest) Backlog() int { return 0 }
func (g *guest) Frame(e []input.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.got = append(g.got, e...)
}

func (g *guest) events() []input.Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.got)
}

// rig is a session of n machines, somebody who watches it, and a keyboard.
type rig struct {
	*Session
	guests []*guest
	viewer *display.Viewer
	keys   *input.Source
	clock  time.Time
}

func newRig(t testing.TB, n int) *rig {
	t.Helper()
	r := &rig{clock: time.Unix(1, 0)}
	r.Session = New(Config{})
	r.Session.keys.now = func() time.Time { r.clock = r.clock.Add(time.Second); return r.clock }
	t.Cleanup(r.Close)
	for i := range n {
		r.add(t, i)
	}
	f := r.Frontend("test")
	r.viewer = f.Surface.NewViewer()
	t.Cleanup(r.viewer.Close)
	r.keys = f.Input.NewSource()
	return r
}

func (r *rig) add(t testing.TB, i int) {
	t.Helper()
	r.connect(t, r.Add(string(rune('a'+i))))
}

// connect gives machine i a process.
func (r *rig) connect(t testing.TB, i int) {
	t.Helper()
	a, b := linktest.Pair(t)
	surface, hub := display.NewSurface(), &input.Hub{}
	g := &guest{colour: uint32(0xff000000 + 0x203040*(i+1))}
	g.screen = displaytest.New(t, surface, 640, 480)
	g.screen.Fill(image.Rect(0, 0, 640, 480), g.colour)
	t.Cleanup(hub.Attach(input.Keyboard, g))
	g.server = link.Serve(a, link.Machine{Surface: surface, Input: hub, Clipboard: shared(g), Focus: func(bool) {}, Power: func(link.Power) {}})
	t.Cleanup(g.server.Close)
	g.remote = link.Connect(b, r.Changed)
	t.Cleanup(g.remote.Close)
	r.guests = append(r.guests, g)
	r.Connected(i, g.remote)
}

// colour is that of a pixel which no line covers; 0 where there is no picture.
func (r *rig) colour() uint32 {
	u := r.viewer.Update()
	if u.Frame.Off() || u.Frame.Width != 640 {
		return 0
	}
	p := u.Frame.Line(400)[4*300:]
	return 0xff000000 | uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16
}

func (r *rig) shows(t testing.TB, guest int) {
	t.Helper()
	linktest.Eventually(t, "the picture of "+string(rune('a'+guest)), func() bool { return r.colour() == r.guests[guest].colour })
}

func (r *rig) tap(c input.Code) {
	r.keys.Key(c, true)
	r.keys.Key(c, false)
}

// TestTurn turns 200 times, and each time the other machine's picture is there when the key's call has returned.
func TestTurn(t *testing.T) {
	r := newRig(t, 3)
	for i := range r.guests {
		if err := r.Turn(i); err != nil {
			t.Fatal(err)
		}
		r.shows(t, i)
	}
	front := 2
	for n := range 200 {
		r.tap(input.KeyF4)
		front = (front + 1) % 3
		if got := r.Front(); got != front {
			t.Fatalf("turn %d: %d is in front, want %d", n, got, front)
		}
		if got := r.colour(); got != r.guests[front].colour {
			t.Fatalf("turn %d: the picture is %#x, want %#x", n, got, r.guests[front].colour)
		}
	}
	// No guest has seen anything of it.
	for i, g := range r.guests {
		if got := g.events(); len(got) != 0 {
			t.Errorf("guest %d got %v", i, got)
		}
	}
	if r.Turn(3) == nil || r.Turn(-1) == nil {
		t.Error("turned to a machine that is not there")
	}
}

// TestKeys types while it turns: each guest gets its own keys, whole, and none is stuck.
func TestKeys(t *testing.T) {
	r := newRig(t, 2)
	key := func(c input.Code, v int32) input.Event { return input.Event{Type: input.TypeKey, Code: c, Value: v} }
	a, b := r.guests[0], r.guests[1]
	r.keys.Key(input.KeyLeftShift, true)
	r.tap(input.KeyA)
	r.tap(input.KeyF4) // with a modifier it is the guest's
	want := []input.Event{key(input.KeyLeftShift, 1), key(input.KeyA, 1), key(input.KeyA, 0), key(input.KeyF4, 1), key(input.KeyF4, 0)}
	linktest.Eventually(t, "shift-f4", func() bool { return slices.Equal(a.events(), want) })
	r.keys.Key(input.KeyLeftShift, false)
	r.keys.Key(input.KeyB, true) // held while it turns
	r.tap(input.KeyF4)
	r.keys.Key(input.KeyB, false)
	r.tap(input.KeyC)
	want = append(want, key(input.KeyLeftShift, 0), key(input.KeyB, 1), key(input.KeyB, 0))
	linktest.Eventually(t, "the key that was held goes up", func() bool { return slices.Equal(a.events(), want) })
	linktest.Eventually(t, "the other's key", func() bool { return slices.Equal(b.events(), []input.Event{key(input.KeyC, 1), key(input.KeyC, 0)}) })

	// Two taps in a row are the guest's.
	r.Session.keys.now = func() time.Time { return r.clock }
	r.Session.keys.tapped = time.Time{}
	r.tap(input.KeyF4)
	r.tap(input.KeyF4)
	if r.Front() != 1 {
		t.Error("two taps turned")
	}
	linktest.Eventually(t, "f4", func() bool {
		return slices.Equal(b.events(), []input.Event{key(input.KeyC, 1), key(input.KeyC, 0), key(input.KeyF4, 1), key(input.KeyF4, 0)})
	})

	r.keys.Key(input.KeyLeftCtrl, true)
	r.keys.Key(input.KeyLeftAlt, true)
	r.tap(input.KeyRight)
	if r.Front() != 0 {
		t.Error("ctrl-alt-right did not turn")
	}
	r.tap(input.KeyLeft)
	r.tap(input.KeyLeft)
	if r.Front() != 0 {
		t.Error("ctrl-alt-left did not turn twice")
	}
}

// TestWithout has a session whose keys users do not have: they are the guest's.
func TestWithout(t *testing.T) {
	for _, test := range []struct {
		without Keys
		key     input.Code
		chord   bool
	}{{HotkeyKeys, input.KeyF4, false}, {TurnKeys, input.KeyLeft, true}, {TurnKeys, input.KeyRight, true}, {OverviewKeys, input.KeyUp, true}} {
		for _, without := range []Keys{test.without, AllKeys &^ test.without} {
			r := newRig(t, 2)
			r.cfg.Without = without
			if test.chord {
				r.keys.Key(input.KeyLeftCtrl, true)
				r.keys.Key(input.KeyLeftAlt, true)
			}
			r.tap(test.key)
			r.keys.Release()
			r.Session.mu.Lock()
			acted := r.front != 0 || r.overview != nil
			r.Session.mu.Unlock()
			if acted != (without != test.without) {
				t.Errorf("without %b: %v acted: %v", without, test.key, acted)
			}
		}
	}
}

// TestEnded has a machine's process end in front and behind.
func TestEnded(t *testing.T) {
	restart := make(chan int, 1)
	r := newRig(t, 2)
	r.Session.cfg.Restart = func(i int) { restart <- i }
	r.shows(t, 0)
	r.guests[1].remote.Close()
	r.Ended(1, "it failed")
	r.shows(t, 0)
	r.tap(input.KeyF4)
	linktest.Eventually(t, "a text in place of the picture", func() bool { return r.viewer.Update().Frame.Width == messageWidth })
	r.tap(input.KeyA) // nobody is there
	r.tap(input.KeyEnter)
	if i := <-restart; i != 1 {
		t.Errorf("machine %d is to start again", i)
	}
	r.tap(input.KeyF4)
	r.shows(t, 0)
}

// TestEarly types for a machine whose process does not run yet.
func TestEarly(t *testing.T) {
	r := newRig(t, 1)
	n := r.Add("late")
	if err := r.Turn(n); err != nil {
		t.Fatal(err)
	}
	r.tap(input.KeyEnter)
	r.tap(input.KeyA)
	r.connect(t, n)
	linktest.Eventually(t, "what was typed", func() bool {
		var codes []input.Code
		for _, e := range r.guests[n].events() {
			if e.Type == input.TypeKey && e.Value != 0 {
				codes = append(codes, e.Code)
			}
		}
		return slices.Equal(codes, []input.Code{input.KeyEnter, input.KeyA})
	})
}

// TestLine sees the line over the picture come and go.
func TestLine(t *testing.T) {
	r := newRig(t, 2)
	line := func() bool {
		u := r.viewer.Update()
		if u.Frame.Off() || u.Frame.Width != 640 {
			return false
		}
		f := u.Frame.Part(image.Rect(320, 2, 321, 3))
		var p [4]byte
		f.Copy(p[:], 4, f.Bounds())
		return p[0] == byte(black&0xff) && p[1] == byte(black>>8&0xff)
	}
	r.tap(input.KeyF4)
	linktest.Eventually(t, "the line", line)
	linktest.Eventually(t, "its end", func() bool { return !line() && r.colour() == r.guests[1].colour })
	r.guests[0].server.SetState(link.Ready, "")
	linktest.Eventually(t, "news of the other machine", line)
}

// BenchmarkTurn is the way from the hotkey to what a frontend gets of the other machine: the median, and how long the slowest took.
func BenchmarkTurn(b *testing.B) {
	r := newRig(b, 2)
	for i := range r.guests {
		_ = r.Turn(i)
		r.shows(b, i)
	}
	var took []time.Duration
	shown := r.viewer.Update().Frame.Generation
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		r.tap(input.KeyF4)
		u := r.viewer.Update()
		took = append(took, time.Since(began))
		if u.Frame.Generation == shown {
			b.Fatal("no other picture")
		}
		shown = u.Frame.Generation
	}
	slices.Sort(took)
	for name, share := range map[string]int{"median": 500, "90%": 900, "99%": 990, "99.9%": 999, "most": 1000} {
		b.ReportMetric(float64(took[max(0, len(took)*share/1000-1)].Nanoseconds()), name+"-ns")
	}
}
