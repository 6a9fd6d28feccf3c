package link

import (
	"image"
	"time"

	"github.com/sharevm/vmm/display"
)

func point(n []int) image.Point { return image.Pt(n[0], n[1]) }

// show sends what changes of the picture: at once while somebody watches, now and then otherwise, so that a session that turns to the machine has a picture to begin
// with.
func (s *Server) show() {
	v := s.m.Surface.NewViewer()
	defer v.Close()
	p := &picture{c: s.c}
	every := glanceEvery
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case on := <-s.watch:
			every = pace(on)
		case <-timer.C:
			if !v.Polled() {
				select {
				case <-v.Changed():
				case on := <-s.watch:
					every = pace(on)
				case <-s.done:
					return
				}
			}
		case <-s.done:
			return
		}
		if p.send(v.Update()) != nil {
			s.c.close() // which ends the session
			<-s.done
			return
		}
		timer.Reset(every)
	}
}

// pace is how often the picture is looked at.
func pace(watched bool) time.Duration {
	if watched {
		return refreshEvery
	}
	return glanceEvery
}

// picture is what the session has been told of it.
type picture struct {
	c          *conn
	generation uint64 // of the frame
	serial     uint64 // of the cursor
	place      image.Point
	visible    bool
	rects      []byte
}

func (p *picture) send(u *display.Update) error {
	f := &u.Frame
	switch {
	case f.Generation != p.generation && f.Off():
		if err := p.c.send(kindOff, -1); err != nil {
			return err
		}
		p.generation = f.Generation
	case f.Generation != p.generation:
		if err := p.c.send(kindShow, f.Memory.FD(), words(f.Width, f.Height, f.Stride, f.Offset, int(f.Format))); err != nil {
			return err
		}
		p.generation = f.Generation
	case len(u.Damage) > 0:
		p.rects = p.rects[:0]
		for _, r := range u.Damage {
			p.rects = append(p.rects, words(r.Min.X, r.Min.Y, r.Max.X, r.Max.Y)...)
		}
		if err := p.c.send(kindDamage, -1, p.rects); err != nil {
			return err
		}
	}
	return p.sendCursor(&u.Cursor)
}

func (p *picture) sendCursor(c *display.Cursor) error {
	if c.Serial != p.serial {
		p.serial = c.Serial
		if err := p.c.send(kindCursor, -1, words(c.Width, c.Height, c.Hot.X, c.Hot.Y), c.Pixels); err != nil {
			return err
		}
	}
	if c.Position == p.place && c.Visible == p.visible {
		return nil
	}
	p.place, p.visible = c.Position, c.Visible
	return p.c.send(kindPlace, -1, words(c.Position.X, c.Position.Y))
}
