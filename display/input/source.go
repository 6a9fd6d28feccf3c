package input

// Source is a keyboard and pointer of the host: a window, or a client of a server. Its methods may be called from any goroutine.
type Source struct {
	hub  *Hub
	held map[Code]struct{} // by its user; guarded by hub.mu
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
	if _, held := s.held[c]; held == down || !c.Known() {
		return
	}
	if !down {
		delete(s.held, c)
		s.hub.take(act{what: release, code: c})
		return
	}
	if s.hub.take(act{what: press, code: c}) {
		s.held[c] = struct{}{}
	}
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
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if width < 1 || height < 1 {
		return
	}
	s.hub.take(act{what: point, x: min(max(x, 0), width-1), y: min(max(y, 0), height-1), width: width, height: height})
}

// Move says that the pointer has moved by so many pixels. A guest with nothing but a tablet gets the place.
func (s *Source) Move(dx, dy int) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.hub.take(act{what: move, x: int(clampStep(dx)), y: int(clampStep(dy))})
}

const (
	maxStep    = 1 << 14 // of one motion, in pixels
	tabletStep = 16      // of a tablet, for a pixel of motion: its own share of a screen 2048 pixels wide
)

func clampStep(v int) int32 { return int32(min(max(v, -maxStep), maxStep)) }

// Wheel says that the wheels were turned by so many notches: to the right, and away from the user.
func (s *Source) Wheel(right, away int) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.hub.take(act{what: wheel, x: int(clampStep(right)), y: int(clampStep(away))})
}
