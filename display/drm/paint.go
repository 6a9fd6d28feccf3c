package drm

import (
	"errors"
	"image"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/drm/vt"
)

const (
	frameTime  = time.Second / 60
	glanceTime = time.Second / 4       // between looks when nothing tells of changes
	masterTime = 50 * time.Millisecond // between tries to become master: another program may be about to give the card up
	lookTime   = 5 * time.Second       // between looks for a monitor where there is none
)

// painter is what the painter's goroutine knows.
type painter struct {
	ours   bool      // the terminal is on the screen
	master bool      // and the card is ours
	warned bool      // the user has been told that it is not
	out    *output   // nil where there is no monitor
	looked time.Time // for a monitor
	flipAt time.Time // the flip began

	generation uint64
	layout     *layout
	cursor     shown
	drawn      []image.Rectangle
}

// shown is the cursor that is on the screen.
type shown struct {
	serial   uint64
	visible  bool
	place    image.Rectangle
	hardware bool // it is the card's
	asked    bool // the card has been asked for one
}

// paintAll paints until the screen is closed.
func (s *Screen) paintAll() {
	p := &s.paint
	v := s.cfg.Machine.Surface.NewViewer()
	defer v.Close()
	defer func() {
		if p.out != nil {
			p.out.free()
		}
	}()
	var events <-chan vt.Event
	if s.terminal != nil {
		events = s.terminal.Events()
	} else {
		s.acquire()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for changed := v.Changed(); ; {
		select {
		case <-s.done:
			return
		case e := <-events:
			switch e {
			case vt.Acquired:
				s.acquire()
			case vt.Release:
				s.release()
				s.terminal.Released()
			default: // the console is the kernel's again, and its user's
				s.release()
				return
			}
		case <-s.plugged:
			s.replug()
		case <-s.flipped:
			if p.out != nil {
				p.out.pending = false
			}
		case <-changed:
		case <-timer.C:
		}
		wait := s.ready(time.Now())
		if wait == 0 {
			wait = frameTime - time.Since(last)
		}
		if wait > 0 {
			timer.Reset(wait)
			changed = nil
			continue
		}
		last = time.Now()
		s.frame(v)
		if v.Polled() {
			changed = nil
			timer.Reset(frameTime)
		} else {
			changed = v.Changed()
			timer.Reset(glanceTime)
		}
	}
}

// ready sees that there is something to paint on, and says how long it may still take; 0 for now.
func (s *Screen) ready(now time.Time) time.Duration {
	p := &s.paint
	if !p.ours {
		return time.Hour
	}
	if !p.master {
		if err := s.becomeMaster(); err != nil {
			if !p.warned {
				s.cfg.Log.Warn("another program has the screen still", "error", err)
				p.warned = true
			}
			return masterTime
		}
		p.master = true
		s.replug()
	}
	if p.out == nil {
		if since := now.Sub(p.looked); since < lookTime {
			return lookTime - since
		}
		s.replug()
		if p.out == nil {
			return lookTime
		}
	}
	if p.out.pending {
		if since := now.Sub(p.flipAt); since < patience {
			return patience - since
		}
		s.cfg.Log.Warn("the card has not told of a flip")
		p.out.pending = false
	}
	return 0
}

// becomeMaster takes the card. The kernel gives it to whoever was its master before, and to whoever opens it while it has none: so a card that was opened while another program (a
// boot splash) had it has to be opened anew, unless one is root.
func (s *Screen) becomeMaster() error {
	err := s.card.setMaster()
	if !errors.Is(err, unix.EACCES) {
		return err
	}
	k, e := s.open(s.card.path)
	if e != nil {
		return errors.Join(err, e)
	}
	again := *s.card
	again.kernel = k
	if err := again.setMaster(); err != nil {
		k.Close()
		return err
	}
	if p := &s.paint; p.out != nil {
		p.out.free()
		p.out = nil
	}
	s.card.Close() // which ends its reader
	s.card = &again
	s.listen(k)
	return nil
}

// acquire is called when the terminal is on the screen.
func (s *Screen) acquire() {
	p := &s.paint
	p.ours, p.master, p.warned = true, false, false
	if s.devices != nil {
		s.devices.SetActive(true)
	}
}

// release gives the screen up.
func (s *Screen) release() {
	p := &s.paint
	if s.devices != nil {
		s.devices.SetActive(false)
	}
	s.hands.drop()
	if p.out != nil && p.out.pending {
		select {
		case <-s.flipped:
		case <-time.After(patience):
		}
	}
	if p.out != nil {
		p.out.lose()
	}
	if p.master {
		if err := s.card.dropMaster(); err != nil {
			s.cfg.Log.Warn("cannot give the screen up", "error", err)
		}
	}
	p.ours, p.master = false, false
}

// replug looks for the monitor, and sets it up if it is another than before.
func (s *Screen) replug() {
	p := &s.paint
	if !p.master {
		return // it is done when the screen is ours again
	}
	p.looked = time.Now()
	if _, connectors, err := getResources(s.card.kernel); err == nil { // connectors come and go with docks
		s.card.connectors = connectors
	}
	m, err := s.card.monitor(s.wanted)
	if err != nil {
		s.cfg.Log.Warn("monitors", "error", err)
	}
	if p.out != nil {
		if p.out.m.same(m) {
			p.out.lose() // it may have been off meanwhile
			p.invalidate()
			return
		}
		p.out.free()
		p.out = nil
	}
	if m == nil {
		s.cfg.Log.Warn("no monitor is connected", "card", s.card.path, "wanted", s.cfg.Output)
		return
	}
	out, err := newOutput(s.card, m)
	if err != nil {
		s.cfg.Log.Error("the monitor cannot be used", "connector", m.name, "error", err)
		return
	}
	s.cfg.Log.Info("screen", "card", s.card.path, "driver", s.card.driver, "connector", m.name, "monitor", m.label, "width", out.size.X, "height", out.size.Y, "refresh", m.mode.Refresh)
	p.out = out
	p.invalidate()
	s.cfg.Machine.Surface.Wish(out.size)
}

// invalidate has everything drawn anew.
func (p *painter) invalidate() {
	p.generation, p.layout, p.cursor = 0, nil, shown{}
	if p.out == nil {
		return
	}
	for _, b := range p.out.buffers {
		b.behind.add(image.Rectangle{Max: p.out.size})
	}
}

// frame brings the screen up to date.
func (s *Screen) frame(v *display.Viewer) {
	p := &s.paint
	u := v.Update()
	o := p.out
	changed := !o.set
	add := func(r image.Rectangle) {
		if r = r.Intersect(image.Rectangle{Max: o.size}); r.Empty() {
			return
		}
		changed = true
		for _, b := range o.buffers {
			b.behind.add(r)
		}
	}
	if u.Frame.Generation != p.generation || p.layout == nil {
		p.generation = u.Frame.Generation
		if size := image.Pt(u.Frame.Width, u.Frame.Height); p.layout == nil || size != p.layout.picture {
			p.layout = newLayout(o.size, size)
			s.hands.moved(place{o.size, p.layout.place})
		}
		add(image.Rectangle{Max: o.size})
	}
	for _, r := range u.Damage {
		add(p.layout.onScreen(r))
	}
	s.follow(&u.Cursor, add)
	if !changed {
		return
	}
	b := o.back()
	cursor := image.Rectangle{}
	if c := p.cursor; c.visible && !c.hardware {
		cursor = c.place
	}
	p.drawn = append(p.drawn[:0], b.behind.all()...)
	under := false
	for _, r := range p.drawn {
		p.layout.draw(b, &u.Frame, r)
		under = under || r.Overlaps(cursor)
	}
	if under { // all of it is drawn anew, as drawing it twice in one place would show
		p.layout.draw(b, &u.Frame, cursor)
		blend(b, &u.Cursor.CursorImage, cursor.Min)
		p.drawn = append(p.drawn, cursor)
	}
	s.show(b)
}

// show shows the buffer that has been drawn.
func (s *Screen) show(b *buffer) {
	p, o := &s.paint, s.paint.out
	err := o.present(p.drawn)
	switch {
	case err == nil:
		b.behind.n = 0
		p.flipAt = time.Now()
	case o.set && s.card.setMaster() == nil: // the card is ours: it cannot do this
		s.cfg.Log.Info("the card does not flip, and is told of changes instead", "driver", s.card.driver, "error", err)
		o.single()
		p.invalidate()
	default:
		s.cfg.Log.Warn("the screen cannot be used", "error", err)
		o.free()
		p.out, p.looked, p.warned = nil, time.Now(), true
		p.master = s.card.setMaster() == nil
	}
}

// follow has the cursor on the screen follow the guest's; add says what has to be drawn anew.
func (s *Screen) follow(c *display.Cursor, add func(image.Rectangle)) {
	p, o := &s.paint, s.paint.out
	old := p.cursor
	at := p.layout.point(c.Position).Sub(c.Hot)
	now := shown{visible: c.Visible && !p.layout.place.Empty(), place: image.Rect(0, 0, c.Width, c.Height).Add(at), serial: c.Serial, hardware: old.hardware, asked: old.asked}
	if o.set && (!old.asked || now.serial != old.serial || now.visible != old.visible) {
		now.asked = true // from then on; before the mode is set a card has no cursor
		now.hardware = now.visible && o.shape(&c.CursorImage)
		if old.hardware && !now.hardware {
			o.unshape()
		}
	}
	if now.hardware && (now.place != old.place || !old.hardware) {
		o.move(at)
	}
	if now != old {
		if old.visible && !old.hardware {
			add(old.place)
		}
		if now.visible && !now.hardware {
			add(now.place)
		}
	}
	p.cursor = now
}
