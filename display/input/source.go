package input

// Source is a keyboard and pointer of the host: a window, or a client of a server. Its methods may be called from any goroutine.
type Source struct {
	hub  *Hub
	held map[Code]struct{} // guarded by hub.mu
}

// NewSource adds a source. It needs no end but Release.
func (h *Hub) NewSource() *Source { return &Source{hub: h, held: map[Code]struct{}{}} }

// Key says that a key or button is down or up now. What is down already stays so: repeats are the guest's matter.
// Codes that are not Known are passed over.
func (s *Source) Key(c Code, down bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.key(c, down)
}

// key does the work of Key. The caller holds hub.mu.
func (s *Source) key(c Code, down bool) {
	h := s.hub
	if _, held := s.held[c]; held == down || !c.Known() {
		return
	}
	if !down {
		delete(s.held, c)
		d := h.down[c]
		if d.by--; d.by == 0 {
			delete(h.down, c)
			h.send(d.at, Event{TypeKey, c, 0})
		}
		return
	}
	s.held[c] = struct{}{}
	if d := h.down[c]; d != nil {
		d.by++
		return
	}
	at := h.ready(Keyboard)
	if c.IsButton() {
		at = h.pointing()
	}
	if h.down == nil {
		h.down = map[Code]*hold{}
	}
	h.down[c] = &hold{at, 1}
	h.send(at, Event{TypeKey, c, 1})
}

// Release lets go of everything that the source holds: the focus or the connection is gone.
func (s *Source) Release() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	for c := range s.held {
		s.key(c, false)
	}
}

// Point says that the pointer is at a pixel of a screen of width and height pixels. A guest with nothing but a mouse gets the distance.
func (s *Source) Point(x, y, width, height int) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if width < 1 || height < 1 {
		return
	}
	x, y = min(max(x, 0), width-1), min(max(y, 0), height-1)
	dx, dy := int32(x)-h.px, int32(y)-h.py
	h.px, h.py = int32(x), int32(y)
	if t := h.ready(Tablet); t != nil {
		h.pointer = t
		h.place(t, scale(x, width), scale(y, height))
		return
	}
	h.x, h.y = scale(x, width), scale(y, height)
	h.move(h.ready(Mouse), dx, dy)
}

// scale is the middle of a pixel on a tablet, so that it is the same pixel whichever way the guest rounds.
func scale(at, size int) int32 { return int32((2*int64(at) + 1) * (AbsMax + 1) / (2 * int64(size))) }

// Move says that the pointer has moved by so many pixels. A guest with nothing but a tablet gets the place.
func (s *Source) Move(dx, dy int) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	x, y := clampStep(dx), clampStep(dy)
	h.px, h.py = h.px+x, h.py+y
	if m := h.ready(Mouse); m != nil {
		h.move(m, x, y)
		return
	}
	if t := h.ready(Tablet); t != nil {
		h.pointer = t
		h.place(t, h.x+x*tabletStep, h.y+y*tabletStep)
	}
}

const (
	maxStep    = 1 << 14 // of one motion, in pixels
	tabletStep = 16      // of a tablet, for a pixel of motion: its own share of a screen 2048 pixels wide
)

func clampStep(v int) int32 { return int32(min(max(v, -maxStep), maxStep)) }

// Wheel says that the wheels were turned by so many notches: to the right, and away from the user.
func (s *Source) Wheel(right, away int) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.pointing()
	h.frame = h.frame[:0]
	if away != 0 {
		h.frame = append(h.frame, Event{TypeRel, RelWheel, clampStep(away)})
	}
	if right != 0 {
		h.frame = append(h.frame, Event{TypeRel, RelHWheel, clampStep(right)})
	}
	h.flush(at)
}

// pointing finds the device that buttons and wheels go to: where the pointer moved last. The caller holds mu.
func (h *Hub) pointing() *seat {
	if h.pointer != nil && h.pointer.Ready() {
		return h.pointer
	}
	if t := h.ready(Tablet); t != nil {
		return t
	}
	return h.ready(Mouse)
}

// place moves a tablet's pointer, in 0..AbsMax. The caller holds mu.
func (h *Hub) place(at *seat, x, y int32) {
	h.x, h.y = min(max(x, 0), AbsMax), min(max(y, 0), AbsMax)
	h.send(at, Event{TypeAbs, AbsX, h.x}, Event{TypeAbs, AbsY, h.y})
}

// move moves a mouse. The caller holds mu.
func (h *Hub) move(at *seat, dx, dy int32) {
	if at != nil {
		h.pointer = at
	}
	h.frame = h.frame[:0]
	if dx != 0 {
		h.frame = append(h.frame, Event{TypeRel, RelX, dx})
	}
	if dy != 0 {
		h.frame = append(h.frame, Event{TypeRel, RelY, dy})
	}
	h.flush(at)
}

// send sends events as one frame. The caller holds mu.
func (h *Hub) send(at *seat, events ...Event) {
	h.frame = append(h.frame[:0], events...)
	h.flush(at)
}

func (h *Hub) flush(at *seat) {
	if at != nil && len(h.frame) > 0 {
		h.sent++
		at.Frame(h.frame)
	}
}
