package x11

import (
	"errors"
	"fmt"
	"image"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"

	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/internal/guard"
)

// Config describes a window.
type Config struct {
	Machine    frontend.Machine
	Display    string // name of the X display; "" stands for $DISPLAY
	FullScreen bool
	// Closed is called when the user closes the window, which stays. It must not block.
	Closed func()
	Log    *slog.Logger // nil is silent
}

// Window shows a machine.
type Window struct {
	cfg  Config
	wire *wire
	x    *xgb.Conn
	server
	canvas // the painter's
	cut    // the painter's
	hands  // the events' goroutine's

	grabbed bool        // the events' goroutine's: keyboard, and the pointer too where the guest has but a mouse
	live    atomic.Bool // the window is there, and events count
	closing atomic.Bool
	ended   chan struct{} // closed after running
	running sync.WaitGroup
	kick    chan struct{} // gets a value when the painter has something to do besides damage
	jobs    chan func()   // for the painter

	mu     sync.Mutex // guards the following
	news   news
	place  image.Rectangle // of the picture in the window
	hidden bool            // the pointer is grabbed, and not to be seen
	full   bool
}

// news are what the painter has to know of the window.
type news struct {
	size     image.Point
	resized  time.Time // zero when the guest knows
	exposed  bool
	unmapped bool
}

// maxJobs bounds what waits for the painter.
const maxJobs = 64

// Open shows a window. It has to be called before a sandbox is entered; what the window does later needs no file to be opened.
func Open(c Config) (w *Window, err error) {
	defer func() {
		if p := recover(); p != nil { // xgb believes what the server says
			w, err = nil, fmt.Errorf("the X server makes no sense: %v", p)
		}
	}()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a, err := parseDisplay(displayName(c.Display))
	if err != nil {
		return nil, err
	}
	conn, err := a.dial()
	if err != nil {
		return nil, fmt.Errorf("display %s: %w", displayName(c.Display), err)
	}
	if w, err = open(conn, a, c); err != nil {
		conn.Close()
		return nil, fmt.Errorf("display %s: %w", displayName(c.Display), err)
	}
	w.running.Go(func() {
		defer w.wire.Close()
		defer guard.Panic(c.Log, "X11 painter")
		w.paintAll()
		if !w.closing.Load() {
			c.Log.Warn("the X server is gone, and the window with it; the machine runs on")
		}
	})
	go func() {
		w.running.Wait()
		close(w.ended)
	}()
	return w, nil
}

// endTime is how long Close waits for the goroutines.
const endTime = time.Second

var errSilent = errors.New("the X server does not answer")

// within ends the connection if f, which waits for an answer, takes too long.
func (w *wire) within(f func() error) error {
	t := time.AfterFunc(patience, func() { _ = w.Close() })
	err := f()
	if !t.Stop() {
		return errSilent
	}
	return err
}

// Close takes the window away and lets go of all keys.
func (w *Window) Close() error {
	w.closing.Store(true)
	_ = w.wire.Close() // the server destroys the window and ends all grabs
	select {
	case <-w.ended:
	case <-time.After(endTime): // xgb can be stuck on answers to questions that nobody asked
		w.source.Release()
	}
	return nil
}

// Done is closed when the window is gone, also because the server is.
func (w *Window) Done() <-chan struct{} { return w.wire.gone }

// later has the painter do something; too much of it is dropped.
func (w *Window) later(f func()) {
	select {
	case w.jobs <- f:
	default:
	}
}

func (w *Window) wake() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// tell changes the painter's news.
func (w *Window) tell(change func(*news)) {
	w.mu.Lock()
	change(&w.news)
	w.mu.Unlock()
	w.wake()
}

// maxEvents bounds what waits for the goroutine that handles events, besides what xgb keeps.
const maxEvents = 256

// listen begins to take events. Whoever sends a request may wait for xgb, and xgb waits for somebody who takes its events: so the
// goroutine that does this does nothing else, and goes on until the connection has ended.
func (w *Window) listen() {
	queue := make(chan xgb.Event, maxEvents)
	w.running.Go(func() {
		for {
			ev, xerr := w.x.WaitForEvent()
			switch {
			case xerr != nil:
				w.cfg.Log.Debug("X11", "error", xerr)
			case ev == nil:
				return
			case w.live.Load():
				select {
				case queue <- ev:
				case <-w.wire.gone:
				}
			}
		}
	})
	w.running.Go(func() {
		defer w.source.Release()
		defer w.wire.Close()
		defer guard.Panic(w.cfg.Log, "X11 events")
		for {
			select {
			case ev := <-queue:
				w.event(ev)
			case <-w.wire.gone:
				return
			}
		}
	})
}

func (w *Window) event(ev xgb.Event) {
	switch e := ev.(type) {
	case xproto.KeyPressEvent:
		w.press(input.Code(e.Detail)-evdevOffset, true)
	case xproto.KeyReleaseEvent:
		w.press(input.Code(e.Detail)-evdevOffset, false)
	case xproto.MotionNotifyEvent:
		w.motion(image.Pt(int(e.EventX), int(e.EventY)))
	case xproto.ButtonPressEvent:
		w.click(e.Detail, image.Pt(int(e.EventX), int(e.EventY)))
	case xproto.ButtonReleaseEvent:
		w.button(e.Detail, false)
	case xproto.FocusInEvent:
		w.later(w.askClipboard)
		w.mu.Lock()
		full := w.full
		w.mu.Unlock()
		if full && e.Mode == xproto.NotifyModeNormal {
			w.grab()
		}
	case xproto.FocusOutEvent:
		w.drop()
		if e.Mode == xproto.NotifyModeNormal {
			w.release()
		}
	case xproto.ConfigureNotifyEvent:
		size := image.Pt(int(e.Width), int(e.Height))
		w.tell(func(n *news) {
			if n.size != size {
				n.size, n.resized, n.exposed = size, time.Now(), true
			}
		})
	case xproto.ExposeEvent:
		w.tell(func(n *news) { n.exposed = true })
	case xproto.MapNotifyEvent:
		w.tell(func(n *news) { n.unmapped, n.exposed = false, true })
	case xproto.UnmapNotifyEvent:
		w.drop()
		w.tell(func(n *news) { n.unmapped = true })
	case xproto.ClientMessageEvent:
		if e.Type == w.atom.protocols && e.Format == 32 && xproto.Atom(e.Data.Data32[0]) == w.atom.deleteWindow && w.cfg.Closed != nil {
			w.cfg.Closed()
		}
	case xproto.SelectionRequestEvent:
		w.later(func() { w.answerSelection(e) })
	case xproto.SelectionNotifyEvent:
		w.later(func() { w.takeSelection(e) })
	case xproto.PropertyNotifyEvent:
		switch {
		case e.State == xproto.PropertyDelete && e.Window != w.id:
			w.later(func() { w.sendPart(e.Window, e.Atom) })
		case e.State == xproto.PropertyNewValue && e.Window == w.id && e.Atom == w.atom.incoming:
			w.later(w.takePart)
		}
	case xproto.SelectionClearEvent:
		w.later(func() { w.lost(e.Selection) })
	}
}

// press handles a key.
func (w *Window) press(code input.Code, down bool) {
	switch w.key(code, down) {
	case letGo:
		w.release()
	case toggleFullScreen:
		w.mu.Lock()
		w.full = !w.full
		full := w.full
		w.mu.Unlock()
		w.setFullScreen(full)
	}
}

// relative says whether the guest is told of motion, since it has no tablet.
func (w *Window) relative() bool { return !w.cfg.Machine.Input.Ready(input.Tablet) }

func (w *Window) motion(at image.Point) {
	w.mu.Lock()
	place, size := w.place, w.news.size
	w.mu.Unlock()
	switch {
	case !w.relative():
		at = at.Sub(place.Min)
		w.source.Point(at.X, at.Y, place.Dx(), place.Dy())
	case w.grabbed && w.move(at, size):
		middle := size.Div(2)
		xproto.WarpPointer(w.x, xproto.WindowNone, w.id, 0, 0, 0, 0, int16(middle.X), int16(middle.Y))
	}
}

func (w *Window) click(b xproto.Button, at image.Point) {
	if w.relative() && !w.grabbed {
		w.grab() // this click was for the window
		return
	}
	if !w.grabbed {
		w.grab()
	}
	w.motion(at)
	w.button(b, true)
}

// grab takes the keyboard, and the pointer too where the guest needs its motion.
func (w *Window) grab() {
	w.grabbed, w.primed, w.warped = true, false, false
	xproto.GrabKeyboardUnchecked(w.x, true, w.id, xproto.TimeCurrentTime, xproto.GrabModeAsync, xproto.GrabModeAsync)
	if w.relative() {
		xproto.GrabPointerUnchecked(w.x, true, w.id, pointerEvents, xproto.GrabModeAsync, xproto.GrabModeAsync, w.id, w.blank, xproto.TimeCurrentTime)
		w.hide(true)
	}
}

// release gives keyboard and pointer back.
func (w *Window) release() {
	w.drop()
	if !w.grabbed {
		return
	}
	w.grabbed = false
	xproto.UngrabKeyboard(w.x, xproto.TimeCurrentTime)
	xproto.UngrabPointer(w.x, xproto.TimeCurrentTime)
	w.hide(false)
}

func (w *Window) hide(on bool) {
	w.mu.Lock()
	w.hidden = on
	w.mu.Unlock()
	w.wake()
}
