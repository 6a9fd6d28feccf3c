package drm

import (
	"image"
	"slices"
	"sync"

	"github.com/sharevm/vmm/display/drm/evdev"
	"github.com/sharevm/vmm/display/input"
)

// hands are all that users do.
type hands struct {
	s *Screen

	mu    sync.Mutex         // guards the following
	held  map[input.Code]int // modifiers, and how many keyboards hold them
	place place
}

// moved tells where the picture is now.
func (h *hands) moved(p place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.place = p
}

// drop forgets what is held.
func (h *hands) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.held)
}

// attach is for evdev.Config.
func (h *hands) attach(string) evdev.Handler {
	return &hand{h: h, source: h.s.cfg.Machine.Input.NewSource()}
}

var ctrls, alts = []input.Code{input.KeyLeftCtrl, input.KeyRightCtrl}, []input.Code{input.KeyLeftAlt}

// note keeps track of Ctrl and Alt.
func (h *hands) note(c input.Code, down bool) {
	if !slices.Contains(ctrls, c) && !slices.Contains(alts, c) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[input.Code]int{}
	}
	if down {
		h.held[c]++
	} else {
		h.held[c] = max(h.held[c]-1, 0)
	}
}

// switching says whether Ctrl and Alt are held.
func (h *hands) switching() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	some := func(codes []input.Code) bool {
		return slices.ContainsFunc(codes, func(c input.Code) bool { return h.held[c] > 0 })
	}
	return some(ctrls) && some(alts)
}

// hand is what users do with one device.
type hand struct {
	h      *hands
	source *input.Source
	down   []input.Code // modifiers that it holds
	eaten  input.Code   // a key whose press was not the guest's
}

// terminalOf is the terminal that a function key stands for; 0 for other keys.
func terminalOf(c input.Code) int {
	switch {
	case c >= input.KeyF1 && c <= input.KeyF10:
		return int(c-input.KeyF1) + 1
	case c == input.KeyF11 || c == input.KeyF12:
		return int(c-input.KeyF11) + 11
	}
	return 0
}

// Key passes a key on, unless it switches to another terminal.
func (d *hand) Key(c input.Code, down bool) {
	if held := slices.Contains(d.down, c); held != down {
		d.h.note(c, down)
		if down {
			d.down = append(d.down, c)
		} else {
			d.down = slices.DeleteFunc(d.down, func(o input.Code) bool { return o == c })
		}
	}
	s := d.h.s
	if n := terminalOf(c); n != 0 && s.terminal != nil && !s.cfg.Locked {
		if down && d.h.switching() {
			d.eaten = c
			s.terminal.Switch(n)
			return
		}
		if !down && d.eaten == c {
			d.eaten = 0
			return
		}
	}
	d.source.Key(c, down)
}

// Move passes on what a mouse has moved.
func (d *hand) Move(dx, dy int) { d.source.Move(dx, dy) }

// Place passes on a place on the screen as one of the picture.
func (d *hand) Place(x, y int32) {
	d.h.mu.Lock()
	p := d.h.place
	d.h.mu.Unlock()
	at := image.Pt(int(int64(x)*int64(p.screen.X)/(input.AbsMax+1)), int(int64(y)*int64(p.screen.Y)/(input.AbsMax+1))).Sub(p.picture.Min)
	d.source.Point(at.X, at.Y, p.picture.Dx(), p.picture.Dy())
}

// Wheel passes on what a wheel was turned.
func (d *hand) Wheel(right, away int) { d.source.Wheel(right, away) }

// Release lets go of everything.
func (d *hand) Release() {
	for _, c := range d.down {
		d.h.note(c, false)
	}
	d.down, d.eaten = d.down[:0], 0
	d.source.Release()
}
