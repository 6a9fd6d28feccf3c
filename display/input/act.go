package input

// act is something that a user has done at a source. A release is one of something that the source held, a press of something that it did not.
type act struct {
	what          doing
	code          Code // of press and release
	x, y          int  // a place in pixels, a distance in pixels, or notches to the right and away
	width, height int  // of the screen that a place is on, in pixels
}

type doing uint8

const (
	press doing = iota
	release
	point
	move
	wheel
)

// do brings an act to the device that it is for. The caller holds mu.
func (h *Hub) do(a act) {
	switch a.what {
	case press:
		h.press(a.code)
	case release:
		h.release(a.code)
	case point:
		h.point(a)
	case move:
		h.step(int32(a.x), int32(a.y))
	case wheel:
		h.turn(int32(a.x), int32(a.y))
	}
}

// press notes that one source more holds a key or button.
func (h *Hub) press(c Code) {
	if d := h.down[c]; d != nil {
		d.by++
		return
	}
	at := h.takes(act{what: press, code: c})
	if h.down == nil {
		h.down = map[Code]*hold{}
	}
	h.down[c] = &hold{at, 1}
	h.send(at, Event{TypeKey, c, 1})
}

// release notes that one source less holds a key or button.
func (h *Hub) release(c Code) {
	d := h.down[c]
	if d.by--; d.by == 0 {
		delete(h.down, c)
		h.send(d.at, Event{TypeKey, c, 0})
	}
}

// takes finds the device that would get an act; nil for none.
func (h *Hub) takes(a act) *seat {
	switch {
	case a.what == release:
		return h.down[a.code].at
	case a.what == press && !a.code.IsButton():
		return h.ready(Keyboard)
	case a.what == point:
		if t := h.ready(Tablet); t != nil {
			return t
		}
		return h.ready(Mouse)
	case a.what == move:
		if m := h.ready(Mouse); m != nil {
			return m
		}
		return h.ready(Tablet)
	}
	return h.pointing()
}

func (h *Hub) point(a act) {
	dx, dy := int32(a.x)-h.px, int32(a.y)-h.py
	h.px, h.py = int32(a.x), int32(a.y)
	if t := h.ready(Tablet); t != nil {
		h.pointer = t
		h.place(t, scale(a.x, a.width), scale(a.y, a.height))
		return
	}
	h.x, h.y = scale(a.x, a.width), scale(a.y, a.height)
	h.move(h.ready(Mouse), dx, dy)
}

// scale is the middle of a pixel on a tablet, so that it is the same pixel whichever way the guest rounds.
func scale(at, size int) int32 { return int32((2*int64(at) + 1) * (AbsMax + 1) / (2 * int64(size))) }

func (h *Hub) step(x, y int32) {
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

func (h *Hub) turn(right, away int32) {
	at := h.pointing()
	h.frame = h.frame[:0]
	if away != 0 {
		h.frame = append(h.frame, Event{TypeRel, RelWheel, away})
	}
	if right != 0 {
		h.frame = append(h.frame, Event{TypeRel, RelHWheel, right})
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
