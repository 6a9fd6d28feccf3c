package display

import "image"

// Overlay is a small picture of its own over a surface's: it hides what is below without a copy of the rest. The zero Overlay hides nothing.
type Overlay struct {
	Rect   image.Rectangle // may stick out of the frame
	Pixels []byte          // XRGB8888, line by line without gaps; not changed any more
}

// SetOverlay lays a picture over whatever the surface shows, in place of another.
func (s *Surface) SetOverlay(o Overlay) {
	if len(o.Pixels) != 4*o.Rect.Dx()*o.Rect.Dy() {
		o = Overlay{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.frame.Overlay.Rect
	if old.Empty() && o.Rect.Empty() {
		return
	}
	s.frame.Overlay = o
	for _, r := range []image.Rectangle{old, o.Rect} {
		s.damage(r)
	}
}

// cover puts what the overlay has of a frame's line y, from pixel x0 to x1, into dst, whose first pixel is x0.
func (o *Overlay) cover(dst []byte, y, x0, x1 int) {
	r := o.Rect
	if y < r.Min.Y || y >= r.Max.Y {
		return
	}
	from, to := max(x0, r.Min.X), min(x1, r.Max.X)
	if from < to {
		line := o.Pixels[4*(y-r.Min.Y)*r.Dx():]
		copy(dst[4*(from-x0):4*(to-x0)], line[4*(from-r.Min.X):])
	}
}
