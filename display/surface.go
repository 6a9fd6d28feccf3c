package display

import (
	"image"
	"slices"
	"sync"
)

// Surface is a screen of a machine.
type Surface struct {
	// calls is held around each call to the source.
	calls  sync.Mutex
	source Source // guarded by calls
	wish   image.Point
	wished map[*func(image.Point)]struct{} // are told of wishes

	mu      sync.Mutex // guards the rest; a leaf: nobody is called under it
	frame   Frame
	cursor  Cursor
	viewers []*Viewer
}

// NewSurface returns a screen that is off.
func NewSurface() *Surface { return &Surface{frame: Frame{Generation: 1}} }

// Attach makes src the source, in place of another.
func (s *Surface) Attach(src Source) {
	s.calls.Lock()
	defer s.calls.Unlock()
	s.source = src
	if s.wish != (image.Point{}) {
		src.Wish(s.wish)
	}
	src.Watched(s.watched())
	s.wakeAll()
}

// Detach takes src away if it is the source, and switches the screen off. No call to src is running when it returns.
func (s *Surface) Detach(src Source) {
	s.calls.Lock()
	defer s.calls.Unlock()
	if s.source != src {
		return
	}
	s.source = nil
	s.Off()
	s.SetCursor(CursorImage{})
}

// Show makes the surface show g of memory m, of which the surface becomes a holder of its own. All of it counts as damage unless it is what
// is shown already. Pixels that would lie outside of the memory are an error, and change nothing.
func (s *Surface) Show(m *Memory, g Geometry) error {
	if err := g.Check(len(m.data)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frame.Memory == m && s.frame.Geometry == g {
		return nil
	}
	m.Hold()
	s.replace(Frame{Geometry: g, Memory: m})
	return nil
}

// Off switches the screen off.
func (s *Surface) Off() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.frame.Off() {
		s.replace(Frame{})
	}
}

// replace shows f from now on.
func (s *Surface) replace(f Frame) {
	f.Generation, f.Overlay = s.frame.Generation+1, s.frame.Overlay
	if s.frame.Memory != nil {
		s.frame.Memory.Release()
	}
	s.frame = f
	for _, v := range s.viewers {
		v.damage.reset()
		if !f.Off() {
			v.damage.add(f.Bounds())
		}
		v.wake()
	}
}

// Damage tells that the pixels of r have changed. What of r is outside is left out.
func (s *Surface) Damage(r image.Rectangle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damage(r)
}

// damage is Damage with s.mu held.
func (s *Surface) damage(r image.Rectangle) {
	if r = r.Intersect(s.frame.Bounds()); r.Empty() {
		return
	}
	for _, v := range s.viewers {
		v.damage.add(r)
		v.wake()
	}
}

// SetCursor gives the cursor another shape; an empty image hides it. An image that does not pass its Check is taken as empty.
func (s *Surface) SetCursor(c CursorImage) {
	if c.Check() != nil {
		c = CursorImage{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Pixels == nil && s.cursor.Pixels == nil {
		return
	}
	s.cursor.CursorImage = c
	s.cursor.Serial++
	s.cursor.Visible = len(c.Pixels) > 0
	for _, v := range s.viewers {
		v.wake()
	}
}

// MoveCursor puts the cursor's hot spot to p.
func (s *Surface) MoveCursor(p image.Point) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cursor.Position == p {
		return
	}
	s.cursor.Position = p
	for _, v := range s.viewers {
		v.wake()
	}
}

// Wish asks the guest for a picture of another size, cut to 1 to MaxSize pixels. The guest may need a while, or not care.
func (s *Surface) Wish(size image.Point) {
	size.X, size.Y = min(max(size.X, 1), MaxSize), min(max(size.Y, 1), MaxSize)
	s.calls.Lock()
	defer s.calls.Unlock()
	s.wish = size
	if s.source != nil {
		s.source.Wish(size)
	}
	for f := range s.wished {
		(*f)(size)
	}
}

// OnWish has f told of each wish, and of the last one at once, beside the source: another way to the guest. f must not call the surface. No call of f is running when stop
// returns.
func (s *Surface) OnWish(f func(size image.Point)) (stop func()) {
	s.calls.Lock()
	defer s.calls.Unlock()
	if s.wished == nil {
		s.wished = map[*func(image.Point)]struct{}{}
	}
	s.wished[&f] = struct{}{}
	if s.wish != (image.Point{}) {
		f(s.wish)
	}
	return func() {
		s.calls.Lock()
		defer s.calls.Unlock()
		delete(s.wished, &f)
	}
}

// Size is that of the picture; zero when the screen is off.
func (s *Surface) Size() image.Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	return image.Pt(s.frame.Width, s.frame.Height)
}

func (s *Surface) watched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.viewers) > 0
}

func (s *Surface) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.viewers {
		v.wake()
	}
}

// join adds v, to which everything is new.
func (s *Surface) join(v *Viewer) {
	s.calls.Lock()
	defer s.calls.Unlock()
	s.mu.Lock()
	if !s.frame.Off() {
		v.damage.add(s.frame.Bounds())
	}
	s.viewers = append(s.viewers, v)
	first := len(s.viewers) == 1
	s.mu.Unlock()
	if first && s.source != nil {
		s.source.Watched(true)
	}
}

func (s *Surface) leave(v *Viewer) {
	s.calls.Lock()
	defer s.calls.Unlock()
	s.mu.Lock()
	before := len(s.viewers)
	s.viewers = slices.DeleteFunc(s.viewers, func(o *Viewer) bool { return o == v })
	last := before == 1 && len(s.viewers) == 0
	s.mu.Unlock()
	if last && s.source != nil {
		s.source.Watched(false)
	}
}

// refresh has the source look for changes.
func (s *Surface) refresh() {
	s.calls.Lock()
	defer s.calls.Unlock()
	if s.source != nil {
		s.source.Refresh()
	}
}

func (s *Surface) polled() bool {
	s.calls.Lock()
	defer s.calls.Unlock()
	return s.source != nil && s.source.Polled()
}
