package vnc

import (
	"image"
	"image/jpeg"
)

// encodeJPEG appends the pixels as JPEG, of a quality of 1 to 100.
func (e *encoders) encodeJPEG(width, height, quality int) {
	if e.photo == nil || e.photo.Rect.Dx() != width || e.photo.Rect.Dy() != height {
		e.photo = image.NewRGBA(image.Rect(0, 0, width, height))
	}
	to := e.photo.Pix
	for _, p := range e.pixels {
		to[0], to[1], to[2], to[3] = byte(p>>16), byte(p>>8), byte(p), 0xff
		to = to[4:]
	}
	e.jpeg.Reset()
	_ = jpeg.Encode(&e.jpeg, e.photo, &jpeg.Options{Quality: quality}) // a bytes.Buffer takes all
	e.out = append(e.out, tightJPEG)
	e.putCounted(e.jpeg.Bytes())
}
