package display

import (
	"errors"
	"image"
	"image/png"
	"io"
)

// ErrOff is returned where a picture is wanted of a screen that is off.
var ErrOff = errors.New("the screen is off")

// Snapshot writes what the surface shows as a PNG, its cursor included. It returns ErrOff where there is nothing.
func Snapshot(s *Surface, w io.Writer) error {
	img, err := s.Image()
	if err != nil {
		return err
	}
	return (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, img)
}

// Image is a copy of what the surface shows, its cursor included. It returns ErrOff where there is nothing.
func (s *Surface) Image() (*image.RGBA, error) {
	v := s.NewViewer()
	defer v.Close()
	u := v.Update()
	if u.Frame.Off() {
		return nil, ErrOff
	}
	img := image.NewRGBA(u.Frame.Bounds())
	u.Frame.Copy(img.Pix, img.Stride, img.Rect)
	for p := img.Pix; len(p) >= 4; p = p[4:] {
		p[0], p[2] = p[2], p[0]
	}
	draw(img, &u.Cursor)
	return img, nil
}

// draw puts a cursor onto a picture.
func draw(img *image.RGBA, c *Cursor) {
	if !c.Visible {
		return
	}
	at := c.Position.Sub(c.Hot)
	for y := range c.Height {
		for x := range c.Width {
			p := at.Add(image.Pt(x, y))
			if !p.In(img.Rect) {
				continue
			}
			src := c.Pixels[4*(y*c.Width+x):]
			dst := img.Pix[img.PixOffset(p.X, p.Y):]
			for k, v := range [3]byte{src[2], src[1], src[0]} {
				dst[k] = byte(min(255, int(v)+int(dst[k])*(255-int(src[3]))/255))
			}
		}
	}
}
