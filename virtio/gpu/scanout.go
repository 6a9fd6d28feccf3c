package gpu

import (
	"bytes"
	"image"

	"github.com/sharevm/vmm/display"
)

// scanout is an output of the card with the monitor at it, and the display.Source of a surface.
type scanout struct {
	device  *Device
	surface *display.Surface

	// The rest is guarded by device.mu.
	size     image.Point // what the monitor likes
	resource uint32      // that is shown; 0 when off
	rect     image.Rectangle
	dark     bool // until the resource, which was restored, is whole
	cursor   display.CursorImage
	position image.Point // of the cursor's first pixel
}

// Watched implements display.Source.
func (s *scanout) Watched(bool) {}

// Refresh implements display.Source: the guest says what it changes.
func (s *scanout) Refresh() {}

// Polled implements display.Source.
func (s *scanout) Polled() bool { return false }

// Wish implements display.Source: the guest is told that another monitor is there.
func (s *scanout) Wish(size image.Point) {
	d := s.device
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.size == size {
		return
	}
	s.size = size
	d.events |= eventDisplay
	if d.activation != nil {
		d.activation.ConfigChanged()
	}
}

func (s *scanout) off() {
	s.resource, s.rect, s.dark = 0, image.Rectangle{}, false
	s.surface.Off()
}

// show answers SET_SCANOUT.
func (s *scanout) show(r *resource, rect image.Rectangle) uint32 {
	if rect.Empty() || !rect.In(r.bounds()) {
		return respBadParameter
	}
	return s.light(r, rect)
}

// light shows a part of a resource.
func (s *scanout) light(r *resource, rect image.Rectangle) uint32 {
	g := display.Geometry{
		Width: rect.Dx(), Height: rect.Dy(), Stride: r.stride(), Offset: rect.Min.Y*r.stride() + rect.Min.X*pixelSize, Format: formats[r.format],
	}
	if s.surface.Show(r.mem, g) != nil {
		return respBadParameter
	}
	s.resource, s.rect, s.dark = r.id, rect, false
	return respOK
}

// setCursor takes the shape of a resource, or none.
func (s *scanout) setCursor(r *resource, hot image.Point) uint32 {
	c := display.CursorImage{}
	if r != nil {
		if r.width > display.MaxCursor || r.height > display.MaxCursor {
			return respBadParameter
		}
		c = display.CursorImage{Width: r.width, Height: r.height, Hot: hot, Pixels: bytes.Clone(r.mem.Bytes()[:r.stride()*r.height])}
		reorder(c.Pixels, formats[r.format])
	}
	s.cursor = c
	s.surface.SetCursor(c)
	return respOK
}

// reorder makes B, G, R, A of pixels.
func reorder(p []byte, from display.Format) {
	for ; len(p) >= pixelSize; p = p[pixelSize:] {
		switch from {
		case display.XBGR8888:
			p[0], p[2] = p[2], p[0]
		case display.RGBX8888:
			p[0], p[1], p[2], p[3] = p[1], p[2], p[3], p[0]
		case display.BGRX8888:
			p[0], p[1], p[2], p[3] = p[3], p[2], p[1], p[0]
		}
	}
}

func (s *scanout) moveCursor(to image.Point) {
	s.position = to
	s.surface.MoveCursor(to.Add(s.cursor.Hot))
}
