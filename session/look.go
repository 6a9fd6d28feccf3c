package session

import (
	"image"

	"github.com/sharevm/vmm/display"
)

// composite is the session as what draws on its screen.
type composite Session

// Watched starts and stops looking at the front machine.
func (c *composite) Watched(on bool) {
	s := (*Session)(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watched = on; on {
		s.startLooking()
		if s.overview != nil {
			s.overview.changed()
		}
	} else {
		s.stopLooking()
	}
}

// Refresh has nothing to do: what changes is told.
func (c *composite) Refresh() {}

// Polled is false for the same reason.
func (c *composite) Polled() bool { return false }

// Wish hands the wish on, to all machines, so that turning to another does not change the size.
func (c *composite) Wish(size image.Point) {
	s := (*Session)(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size = size
	for _, m := range s.machines {
		if m.remote != nil {
			m.remote.Surface.Wish(size)
		}
	}
}

// look is a look at the front machine.
type look struct {
	v      *display.Viewer
	done   chan struct{}
	serial uint64 // of the cursor that is shown
}

// startLooking looks at the front machine if anybody watches; s.mu is held. What there is to see now is on the screen when it returns.
func (s *Session) startLooking() {
	if !s.watched || s.closed || s.looking != nil || s.overview != nil || len(s.machines) == 0 {
		return
	}
	m := s.machines[s.front]
	if m.remote == nil {
		s.draw(nil)
		return
	}
	l := &look{v: m.remote.Surface.NewViewer(), done: make(chan struct{})}
	s.looking = l
	s.draw(l.v.Update())
	s.wg.Go(func() {
		defer l.v.Close()
		for l.v.Wait(l.done, 0) {
			u := l.v.Update()
			s.mu.Lock()
			if s.looking == l { // or it is another machine's turn
				s.draw(u)
			}
			s.mu.Unlock()
		}
	})
}

// stopLooking ends a look; s.mu is held.
func (s *Session) stopLooking() {
	if s.looking != nil {
		close(s.looking.done)
		s.looking = nil
	}
}

// draw shows what has changed; s.mu is held. u is nil where the front machine has no process.
func (s *Session) draw(u *display.Update) {
	if u == nil || u.Frame.Off() {
		s.panel.message(s.surface, s.describe(s.machines[s.front]), u == nil)
		return
	}
	if s.surface.Show(u.Frame.Memory, u.Frame.Geometry) != nil {
		return // the surface that it comes from has checked it: it cannot be
	}
	for _, r := range u.Damage {
		s.surface.Damage(r)
	}
	s.panel.lay(s.surface, u.Frame.Width)
	if s.looking != nil && u.Cursor.Serial != s.looking.serial {
		s.looking.serial = u.Cursor.Serial
		s.surface.SetCursor(u.Cursor.CursorImage)
	}
	s.surface.MoveCursor(u.Cursor.Position)
}

// again draws everything that the front machine shows; s.mu is held.
func (s *Session) again() {
	s.stopLooking()
	s.startLooking()
}
