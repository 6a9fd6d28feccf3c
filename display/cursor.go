package display

import (
	"fmt"
	"image"
)

// MaxCursor bounds a cursor's width and height in pixels.
const MaxCursor = 256

// Cursor is the hardware cursor of a surface, which is not in its pixels.
type Cursor struct {
	// Visible says whether it is shown. A cursor without pixels is not.
	Visible bool
	// Position is where the hot spot is, in pixels of the surface. It may be outside.
	Position image.Point
	CursorImage
	// Serial changes when the image does.
	Serial uint64
}

// CursorImage is the shape of a cursor.
type CursorImage struct {
	Width, Height int
	Hot           image.Point // of the pixel that points
	// Pixels are Width*Height*4 bytes B, G, R, A, colours multiplied by A. They do not change once they were given to a surface.
	Pixels []byte
}

// Check says whether the image makes sense; the empty one does.
func (c *CursorImage) Check() error {
	if c.Width < 0 || c.Height < 0 || c.Width > MaxCursor || c.Height > MaxCursor || len(c.Pixels) != c.Width*c.Height*4 {
		return fmt.Errorf("display: a cursor of %dx%d pixels in %d bytes", c.Width, c.Height, len(c.Pixels))
	}
	return nil
}
