package session

import (
	"image"
	"slices"
	"time"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/session/link"
)

const (
	// overviewEvery is how often the small pictures are looked at.
	overviewEvery = time.Second / 6
	// Bounds of the overview's own picture.
	overviewWidth  = 3840
	overviewHeight = 2160
)

// overview is all machines at once, as small live pictures of which the user chooses one. Keys and pointer are its own meanwhile.
type overview struct {
	done chan struct{}
	wake chan struct{} // something else than a machine's picture has changed
	was  int           // the machine that was in front

	// Guarded by the session's mu:
	chosen  int         // among the machines that are present
	size    image.Point // of the picture
	pointer image.Point
}

// openOverview shows all machines; s.mu is held.
func (s *Session) openOverview() {
	if s.overview != nil || s.closed || len(s.machines) == 0 {
		return
	}
	if m := s.machines[s.front]; m.remote != nil {
		m.remote.Release()
	}
	s.stopLooking()
	s.panel.lift(s.surface)
	o := &overview{done: make(chan struct{}), wake: make(chan struct{}, 1), was: s.front, chosen: slices.Index(s.present(), s.front), size: s.overviewSize()}
	o.pointer = o.size.Div(2)
	s.overview = o
	s.surface.SetCursor(arrow)
	s.surface.MoveCursor(o.pointer)
	s.wg.Go(func() { s.showOverview(o) })
}

// overviewSize is what the viewers wish for, or else the size of what they see; s.mu is held.
func (s *Session) overviewSize() image.Point {
	size := s.size
	if size == (image.Point{}) {
		size = s.surface.Size()
	}
	if size.X < 320 || size.Y < 200 {
		size = image.Pt(messageWidth, messageHeight)
	}
	return image.Pt(min(size.X, overviewWidth), min(size.Y, overviewHeight))
}

// closeOverview ends the overview; s.mu is held, and what is to be seen then is the caller's matter.
func (s *Session) closeOverview() {
	if s.overview != nil {
		close(s.overview.done)
		s.overview = nil
	}
}

// choose ends the overview with a machine in front; s.mu is held.
func (s *Session) choose(machine int) {
	if machine >= 0 && machine < len(s.machines) && !s.machines[machine].gone {
		s.closeOverview()
		s.turn(machine)
	}
}

// overviewKey does what a key or button means in the overview; s.mu is held.
func (s *Session) overviewKey(c input.Code) {
	o, list := s.overview, s.present()
	n := len(list)
	choose := func(i int) {
		if i >= 0 && i < n {
			s.choose(list[i])
		}
	}
	columns := columnsFor(n)
	to := min(o.chosen, n-1)
	switch {
	case c == input.KeyEsc:
		if s.machines[o.was].gone {
			o.was = s.front
		}
		s.choose(o.was)
		return
	case c == input.KeyEnter || c == input.KeySpace:
		choose(to)
		return
	case c == input.ButtonLeft:
		choose(tileAt(o.size, n, o.pointer))
		return
	case c >= input.Key1 && c <= input.Key9:
		choose(int(c - input.Key1))
		return
	case c == input.KeyN:
		s.another(list[to])
		return
	case c == input.KeyLeft:
		to--
	case c == input.KeyRight:
		to++
	case c == input.KeyUp:
		to -= columns
	case c == input.KeyDown:
		to += columns
	case c == s.cfg.Hotkey:
		to = (to + 1) % n
	}
	if to >= 0 && to < n && to != o.chosen {
		o.chosen = to
		o.changed()
	}
}

// overviewMotion moves the overview's pointer; s.mu is held.
func (s *Session) overviewMotion(events []input.Event) {
	o := s.overview
	was := o.pointer
	for _, e := range events {
		switch {
		case e.Type == input.TypeAbs && e.Code == input.AbsX:
			o.pointer.X = int(e.Value) * o.size.X / (input.AbsMax + 1)
		case e.Type == input.TypeAbs && e.Code == input.AbsY:
			o.pointer.Y = int(e.Value) * o.size.Y / (input.AbsMax + 1)
		case e.Type == input.TypeRel && e.Code == input.RelX:
			o.pointer.X = min(max(o.pointer.X+int(e.Value), 0), o.size.X-1)
		case e.Type == input.TypeRel && e.Code == input.RelY:
			o.pointer.Y = min(max(o.pointer.Y+int(e.Value), 0), o.size.Y-1)
		}
	}
	if o.pointer == was {
		return
	}
	s.surface.MoveCursor(o.pointer)
	if at := tileAt(o.size, len(s.present()), o.pointer); at >= 0 && at != o.chosen {
		o.chosen = at
		o.changed()
	}
}

// changed has the overview drawn at once.
func (o *overview) changed() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// showOverview draws the overview until it is done.
func (s *Session) showOverview(o *overview) {
	var (
		p     panel
		tiles []*tile
	)
	defer func() {
		for _, t := range tiles {
			t.close()
		}
		p.free()
	}()
	tick := time.NewTicker(overviewEvery)
	defer tick.Stop()
	for {
		s.mu.Lock()
		o.size = s.overviewSize()
		size, chosen, watched := o.size, o.chosen, s.watched
		list := s.present()
		if len(tiles) != len(list) {
			for _, t := range tiles[min(len(list), len(tiles)):] {
				t.close()
			}
			tiles = tiles[:min(len(list), len(tiles))]
			p.free() // all have other places now
		}
		for i, number := range list {
			m := s.machines[number]
			if i == len(tiles) {
				tiles = append(tiles, &tile{})
			}
			r := m.remote
			if !watched {
				r = nil
			}
			tiles[i].of(r, s.describe(m))
		}
		s.mu.Unlock()
		if watched {
			damage := drawOverview(&p, tiles, size, chosen)
			s.mu.Lock()
			if s.overview == o && p.mem != nil && s.surface.Show(p.mem, p.g) == nil {
				for _, r := range damage {
					s.surface.Damage(r)
				}
			}
			s.mu.Unlock()
		}
		select {
		case <-tick.C:
		case <-o.wake:
		case <-o.done:
			return
		}
	}
}

// tile is a machine in the overview.
type tile struct {
	remote *link.Remote
	viewer *display.Viewer // nil without a process
	text   string
	drawn  drawn
	small  thumbnail
}

// drawn is what of a tile is in the picture.
type drawn struct {
	place      image.Rectangle
	generation uint64
	text       string
	chosen     bool
}

// of has the tile show a machine as it is now.
func (t *tile) of(r *link.Remote, text string) {
	t.text = text
	if r == t.remote {
		return
	}
	t.close()
	if t.remote = r; r != nil {
		t.viewer = r.Surface.NewViewer()
	}
	t.drawn = drawn{}
}

func (t *tile) close() {
	if t.viewer != nil {
		t.viewer.Close()
		t.viewer, t.remote = nil, nil
	}
}
