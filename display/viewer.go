package display

import (
	"image"
	"sync"
	"time"
)

// Viewer looks at a surface. Its methods but Close are for one goroutine.
type Viewer struct {
	surface *Surface
	changed chan struct{}
	damage  region // guarded by surface.mu

	last  time.Time // when Wait returned
	seen  Update
	rects [maxRects]image.Rectangle // behind seen.Damage

	mu     sync.Mutex // guards held and closed, and is held while held changes
	held   *Memory
	closed bool
}

// Update is what a viewer sees, valid until its next Update or Close.
type Update struct {
	Frame  Frame
	Damage []image.Rectangle // inside the frame; all of it where the generation has changed
	Cursor Cursor
}

// NewViewer returns a viewer to which everything is new.
func (s *Surface) NewViewer() *Viewer {
	v := &Viewer{surface: s, changed: make(chan struct{}, 1)}
	s.join(v)
	v.wake()
	return v
}

// Close ends the viewer, and a Wait in progress. It must not be called while another goroutine looks at what Update returned.
func (v *Viewer) Close() {
	v.mu.Lock()
	done := v.closed
	v.closed = true
	v.mu.Unlock()
	if done {
		return
	}
	v.surface.leave(v)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.held != nil {
		v.held.Release()
		v.held = nil
	}
	v.wake()
}

// Changed gets a value after something has changed that no Update has reported. A source that is Polled says nothing by itself.
func (v *Viewer) Changed() <-chan struct{} { return v.changed }

// Polled says whether changes are found only by Update, so that the viewer has to call it at the rate it wants.
func (v *Viewer) Polled() bool { return v.surface.polled() }

func (v *Viewer) wake() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// Wait returns true when it is time for an Update: when something has changed, or the source has to be polled; but not before the time every has passed since it last did. It
// returns false when done is closed or the viewer is.
func (v *Viewer) Wait(done <-chan struct{}, every time.Duration) bool {
	if !v.sleep(done, every-time.Since(v.last)) {
		return false
	}
	if !v.Polled() {
		select {
		case <-v.changed:
		case <-done:
			return false
		}
	}
	v.last = time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.closed
}

// sleep waits for d, and returns false when done is closed before.
func (v *Viewer) sleep(done <-chan struct{}, d time.Duration) bool {
	if d <= 0 {
		select {
		case <-done:
			return false
		default:
			return true
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
		return false
	}
}

// Update returns what is shown now and what of it changed since the last Update. It does not allocate.
func (v *Viewer) Update() *Update {
	select {
	case <-v.changed:
	default:
	}
	v.surface.refresh()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		v.seen = Update{Frame: Frame{Generation: 1}}
		return &v.seen
	}
	s := v.surface
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frame.Memory != nil {
		s.frame.Memory.Hold()
	}
	if v.held != nil {
		v.held.Release()
	}
	v.held = s.frame.Memory
	n := copy(v.rects[:], v.damage.rects[:v.damage.n])
	v.damage.reset()
	v.seen = Update{Frame: s.frame, Damage: v.rects[:n], Cursor: s.cursor}
	return &v.seen
}
