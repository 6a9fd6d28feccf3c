package link

import (
	"bytes"
	"errors"
	"image"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/session/link/linktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keyboard remembers what it gets.
type keyboard struct {
	mu  sync.Mutex
	got []input.Event
}

func (k *keyboard) Ready() bool  { return true }
func (k *keyboard) Backlog() int { return 0 }
func (k *keyboard) Frame(e []input.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.got = append(k.got, e...)
}

func (k *keyboard) events() []input.Event {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.got)
}

// rig is a machine and a session that shows it.
type rig struct {
	surface *display.Surface
	screen  *displaytest.Source
	keys    *keyboard
	hub     *input.Hub
	focus   chan bool
	power   chan Power
	server  *Server
	remote  *Remote
	change  chan struct{}
}

func newRig(t testing.TB) *rig {
	t.Helper()
	a, b := linktest.Pair(t)
	surface := display.NewSurface()
	r := &rig{surface: surface, keys: &keyboard{}, hub: &input.Hub{}, focus: make(chan bool, 9), power: make(chan Power, 9), change: make(chan struct{}, 99)}
	r.screen = displaytest.New(t, surface, 64, 48)
	t.Cleanup(r.hub.Attach(input.Keyboard, r.keys))
	r.server = Serve(a, Machine{Surface: surface, Input: r.hub, Focus: func(on bool) { r.focus <- on }, Power: func(p Power) { r.power <- p }})
	t.Cleanup(r.server.Close)
	r.remote = Connect(b, func() {
		select {
		case r.change <- struct{}{}:
		default:
		}
	})
	t.Cleanup(r.remote.Close)
	return r
}

// TestPicture draws in the machine and looks in the session.
func TestPicture(t *testing.T) {
	r := newRig(t)
	v := r.remote.Surface.NewViewer()
	defer v.Close()
	same := func(what string) {
		t.Helper()
		linktest.Eventually(t, what, func() bool {
			want, err := r.surface.Image()
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.remote.Surface.Image()
			return err == nil && got.Rect == want.Rect && bytes.Equal(got.Pix, want.Pix)
		})
	}
	same("the first picture")
	r.screen.Fill(image.Rect(3, 4, 20, 30), 0x00ff8040)
	same("a drawing")
	v.Update()
	r.screen.Fill(image.Rect(5, 6, 7, 8), 0x00112233)
	linktest.Eventually(t, "its damage", func() bool {
		u := v.Update()
		return slices.ContainsFunc(u.Damage, func(d image.Rectangle) bool { return image.Rect(5, 6, 7, 8).In(d) && d.Dx() < 64 })
	})
	r.screen.Resize(t, 100, 50)
	same("another size")
	r.surface.Off()
	linktest.Eventually(t, "no picture", func() bool { return v.Update().Frame.Off() })
	r.remote.Surface.Wish(image.Pt(300, 200))
	linktest.Eventually(t, "the wish", func() bool { return slices.Contains(r.screen.Wishes(), image.Pt(300, 200)) })
}

// TestInput types in the session, and sees what the machine's keyboard gets.
func TestInput(t *testing.T) {
	r := newRig(t)
	a := input.Event{Type: input.TypeKey, Code: 30, Value: 1}
	b := input.Event{Type: input.TypeKey, Code: 42, Value: 1}
	r.remote.Events([]input.Event{a, b})
	linktest.Eventually(t, "two keys", func() bool { return slices.Equal(r.keys.events(), []input.Event{a, b}) })
	r.remote.Release()
	linktest.Eventually(t, "both up", func() bool {
		got := r.keys.events()
		return len(got) == 4 && got[2].Value == 0 && got[3].Value == 0
	})
	r.remote.Focus(true)
	r.remote.Power(Reset)
	if on, p := <-r.focus, <-r.power; !on || p != Reset {
		t.Error(on, p)
	}
	r.hub.SetLEDs(input.LEDCaps)
	linktest.Eventually(t, "the light", func() bool { return r.remote.LEDs() == input.LEDCaps })
	r.server.SetState(Ready, "up")
	linktest.Eventually(t, "the state", func() bool { st, text := r.remote.State(); return st == Ready && text == "up" })
	// A session that goes holds no keys.
	r.remote.Events([]input.Event{a})
	linktest.Eventually(t, "a key", func() bool { return len(r.keys.events()) == 5 })
	r.remote.Close()
	linktest.Eventually(t, "it is up", func() bool { return len(r.keys.events()) == 6 })
	if st, _ := r.remote.State(); st != Gone {
		t.Error(st)
	}
}

// TestQueued types before the guest is there: it gets everything, in order, when it is. Nothing else that the session wants waits for that.
func TestQueued(t *testing.T) {
	a, b := linktest.Pair(t)
	keys, hub, power := &keyboard{}, &input.Hub{}, make(chan Power, 1)
	defer hub.Attach(input.Keyboard, keys)()
	hub.Keep()
	server := Serve(a, Machine{Input: hub, Focus: func(bool) {}, Power: func(p Power) { power <- p }})
	defer server.Close()
	remote := Connect(b, func() {})
	defer remote.Close()
	var want []input.Event
	for i := range 8 {
		for _, v := range []int32{1, 0} {
			want = append(want, input.Event{Type: input.TypeKey, Code: input.Code(2 + i%9), Value: v})
			remote.Events(want[len(want)-1:])
		}
	}
	remote.Power(TakeAway)
	<-power
	if got := keys.events(); len(got) != 0 {
		t.Errorf("%d events before the guest is there", len(got))
	}
	hub.Deliver(nil)
	if got := keys.events(); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestNonsense has each side send what it must not.
func TestNonsense(t *testing.T) {
	huge := words(99999, 99999, 4, 0, 0)
	for _, m := range []struct {
		k    kind
		body []byte
	}{
		{0, nil}, {99, nil}, {kindShow, huge}, {kindDamage, []byte{1}}, {kindCursor, words(1<<20, 1<<20, 0, 0)}, {kindCursor, words(-1, 1, 0, 0)}, {kindPlace, nil}, {kindLEDs, nil},
		{kindState, []byte{byte(states)}}, {kindState, append([]byte{1}, bytes.Repeat([]byte{'x'}, maxText)...)}, {kindState, []byte{1, 0xff}}, {kindFocus, []byte{1}}, {kindCopied, []byte{0xff}},
	} {
		a, b := linktest.Pair(t)
		r := Connect(b, func() {})
		c := newConn(a)
		if err := c.send(m.k, -1, m.body); err != nil {
			t.Fatal(err)
		}
		<-r.Done()
		if !errors.Is(r.Err(), ErrProtocol) {
			t.Errorf("message %d % x: %v", m.k, m.body[:min(8, len(m.body))], r.Err())
		}
		c.close()
	}
	for _, m := range []struct {
		k    kind
		body []byte
	}{{0, nil}, {kindShow, huge}, {kindWatch, nil}, {kindWatch, []byte{2}}, {kindWish, []byte{1}}, {kindEvents, []byte{1}}, {kindFocus, nil}, {kindPower, []byte{byte(powers)}}, {kindPaste, []byte{0xff}}} {
		a, b := linktest.Pair(t)
		s := Serve(a, Machine{Input: &input.Hub{}, Focus: func(bool) {}, Power: func(Power) {}})
		c := newConn(b)
		if err := c.send(m.k, -1, m.body); err != nil {
			t.Fatal(err)
		}
		<-s.Done()
		s.Close()
		c.close()
	}
}

// TestForeignMemory hands over files that are no sealed memory, and memory that is too small.
func TestForeignMemory(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	loose, err := unix.MemfdCreate("loose", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(loose)
	small, err := display.NewMemory("small", 4096)
	if err != nil {
		t.Fatal(err)
	}
	defer small.Release()
	for name, fd := range map[string]int{"a file": int(file.Fd()), "memory that can shrink": loose, "too little": small.FD()} {
		a, b := linktest.Pair(t)
		r := Connect(b, func() {})
		c := newConn(a)
		if err := c.send(kindShow, fd, words(64, 64, 256, 0, 0)); err != nil {
			t.Fatal(err)
		}
		<-r.Done()
		if !errors.Is(r.Err(), ErrProtocol) {
			t.Errorf("%s: %v", name, r.Err())
		}
		c.close()
	}
}

func FuzzRemote(f *testing.F) {
	f.Add([]byte{byte(kindDamage), 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0})
	f.Add([]byte{byte(kindCopied), 2, 0, 0, 0, 'h', 'i'})
	f.Add([]byte{byte(kindState), 2, 0, 0, 0, 1, 'x', byte(kindLEDs), 1, 0, 0, 0, 7})
	f.Add([]byte{byte(kindCursor), 20, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, p []byte) {
		a, b := linktest.Pair(t)
		r := Connect(b, func() {})
		_ = a.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = a.Write(p)
		_ = a.Close()
		<-r.Done()
		b.Close()
	})
}

func FuzzServer(f *testing.F) {
	f.Add([]byte{byte(kindEvents), 8, 0, 0, 0, 1, 0, 30, 0, 1, 0, 0, 0, byte(kindRelease), 0, 0, 0, 0})
	f.Add([]byte{byte(kindPaste), 2, 0, 0, 0, 'h', 'i'})
	f.Add([]byte{byte(kindWish), 8, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, byte(kindWatch), 1, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, p []byte) {
		a, b := linktest.Pair(t)
		s := Serve(a, Machine{Surface: display.NewSurface(), Input: &input.Hub{}, Clipboard: &frontend.Clipboard{}, Focus: func(bool) {}, Power: func(Power) {}})
		_ = b.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = b.Write(p)
		_ = b.Close()
		<-s.Done()
		s.Close()
	})
}

// TestDeaf has the machine's process stand still: nothing waits for it, what is kept for it is bounded, and when it goes on it learns how things are then, with no key that
// stays down.
func TestDeaf(t *testing.T) {
	a, b := linktest.Pair(t)
	r := Connect(b, func() {})
	defer r.Close()
	r.Power(PressButton)
	for i := range 20 * maxQueue {
		r.Events([]input.Event{{Type: input.TypeKey, Code: input.KeyA, Value: int32(i+1) % 2}})
		r.Focus(i%2 == 0)
		if i%maxQueue == 0 {
			r.mu.Lock()
			if len(r.queue) > maxQueue {
				t.Errorf("%d messages wait", len(r.queue))
			}
			r.mu.Unlock()
		}
	}
	r.Focus(true)
	r.Events([]input.Event{{Type: input.TypeKey, Code: input.KeyB, Value: 1}})

	hub, keys := &input.Hub{}, &keyboard{}
	defer hub.Attach(input.Keyboard, keys)()
	focus, power := make(chan bool, 1<<16), make(chan Power, 16)
	s := Serve(a, Machine{Input: hub, Focus: func(on bool) { focus <- on }, Power: func(p Power) { power <- p }})
	defer s.Close()
	if p := <-power; p != PressButton {
		t.Errorf("power: %v", p)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		down := map[input.Code]bool{}
		for _, e := range keys.events() {
			down[e.Code] = e.Value != 0
		}
		if down[input.KeyB] {
			if down[input.KeyA] {
				t.Error("a key is stuck")
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("the last key does not arrive")
		}
	}
	last := false
	for len(focus) > 0 {
		last = <-focus
	}
	if !last {
		t.Error("it does not know that it is in front")
	}
}
