package display

import (
	"fmt"
	"image"
)

// Limits of a surface.
const (
	MaxSize  = 16384   // pixels, in either direction
	MaxBytes = 1 << 30 // of the memory behind it
)

// Format is how a pixel is stored.
type Format uint8

// The formats; bytes are named in order of their addresses. A frontend that does not want to know them all uses [Frame.Copy].
const (
	XRGB8888 Format = iota // B, G, R, unused: 0xXXRRGGBB as a little-endian number
	XBGR8888               // R, G, B, unused
	RGBX8888               // unused, B, G, R
	BGRX8888               // unused, R, G, B
	RGB888                 // B, G, R
	RGB565                 // a little-endian number, red in the highest bits
	XRGB1555               // the same with 5 bits of green
	formats
)

var bytesPerPixel = [formats]int{4, 4, 4, 4, 3, 2, 2}

// BytesPerPixel says how many bytes a pixel takes.
func (f Format) BytesPerPixel() int {
	if f >= formats {
		return 0
	}
	return bytesPerPixel[f]
}

// Geometry says where in a Memory the pixels are.
type Geometry struct {
	Width, Height int // pixels
	Stride        int // bytes from one line to the next
	Offset        int // of the first pixel, in bytes
	Format        Format
}

// Bounds is the whole surface.
func (g Geometry) Bounds() image.Rectangle { return image.Rect(0, 0, g.Width, g.Height) }

// Check says whether all pixels lie inside a memory of size bytes.
func (g Geometry) Check(size int) error {
	bpp := g.Format.BytesPerPixel()
	switch {
	case bpp == 0:
		return fmt.Errorf("display: unknown pixel format %d", g.Format)
	case g.Width < 1 || g.Height < 1 || g.Width > MaxSize || g.Height > MaxSize:
		return fmt.Errorf("display: %dx%d pixels, at most %[3]dx%[3]d possible", g.Width, g.Height, MaxSize)
	case g.Stride < g.Width*bpp || g.Stride > MaxBytes || g.Offset < 0 || g.Offset > MaxBytes:
		return fmt.Errorf("display: lines of %d bytes at %#x for %d pixels", g.Stride, g.Offset, g.Width)
	}
	if end := int64(g.Offset) + int64(g.Stride)*int64(g.Height-1) + int64(g.Width*bpp); end > int64(size) {
		return fmt.Errorf("display: %dx%d pixels at %#x end at %#x, beyond the %#x bytes of memory", g.Width, g.Height, g.Offset, end, size)
	}
	return nil
}

// Frame is what a surface shows. The zero Frame is a screen that is off.
type Frame struct {
	Geometry
	// Generation changes when memory or geometry do. It is never 0 in what a viewer gets.
	Generation uint64
	Memory     *Memory // nil when the screen is off
	Overlay    Overlay // lies over the pixels of the memory
}

// Off says whether there is nothing to see.
func (f *Frame) Off() bool { return f.Memory == nil }

// Part is the part of the frame inside r, which must be inside of it, as a frame of its own.
func (f *Frame) Part(r image.Rectangle) Frame {
	part := *f
	part.Offset += r.Min.Y*f.Stride + r.Min.X*f.Format.BytesPerPixel()
	part.Width, part.Height = r.Dx(), r.Dy()
	part.Overlay.Rect = f.Overlay.Rect.Sub(r.Min)
	return part
}

// Line returns the bytes of line y, which must be inside, without the overlay.
func (f *Frame) Line(y int) []byte {
	at, n := f.Offset+y*f.Stride, f.Width*f.Format.BytesPerPixel()
	return f.Memory.data[at : at+n : at+n]
}

// Copy converts rectangle r (cut to the frame) to XRGB8888 with the unused byte 0xff, into dst, whose line y begins at y*stride and whose pixel x is 4*x bytes
// further: the place of r in dst is that in the frame. What does not fit into dst is left out.
func (f *Frame) Copy(dst []byte, stride int, r image.Rectangle) {
	if f.Off() || stride <= 0 {
		return
	}
	r = r.Intersect(f.Bounds()).Intersect(image.Rect(0, 0, stride/4, len(dst)/stride+1))
	bpp := f.Format.BytesPerPixel()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		at, end := y*stride+4*r.Min.X, y*stride+4*r.Max.X
		if end > len(dst) {
			return
		}
		convert(dst[at:end], f.Line(y)[r.Min.X*bpp:r.Max.X*bpp], f.Format)
		f.Overlay.cover(dst[at:end], y, r.Min.X, r.Max.X)
	}
}
