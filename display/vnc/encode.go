package vnc

import (
	"bytes"
	"encoding/binary"
	"image"
	"slices"

	"github.com/klauspost/compress/zlib"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/input"
)

const (
	// maxArea bounds a rectangle, and with it the memory that encoding takes.
	maxArea  = 64 << 10
	maxWidth = 2048 // Tight's own limit
	tileSize = 64   // ZRLE's
	// level is zlib's: more costs much time for little room.
	level = 3
)

// encoders are the state of a viewer's encodings. zlib's streams go on from rectangle to rectangle.
type encoders struct {
	zrle, tight deflater
	copied      []byte   // of the rectangle at hand, as the frame has it
	pixels      []uint32 // the same as 0xRRGGBB
	plain       []byte   // what is to be compressed
	out         []byte   // the rectangle
	palette     palette
	photo       *image.RGBA // scratch of JPEG
	jpeg        bytes.Buffer
}

// deflater is a stream of zlib.
type deflater struct {
	w   *zlib.Writer
	buf bytes.Buffer
}

// deflate compresses p so that the viewer can use all of it. The result is valid until the next call.
func (d *deflater) deflate(p []byte) []byte {
	if d.w == nil {
		d.w, _ = zlib.NewWriterLevel(&d.buf, level) // the level is a good one
	}
	d.buf.Reset()
	_, _ = d.w.Write(p) // a bytes.Buffer takes all
	_ = d.w.Flush()
	return d.buf.Bytes()
}

// split appends r in pieces of at most maxArea pixels and maxWidth.
func split(list []image.Rectangle, r image.Rectangle) []image.Rectangle {
	for x := r.Min.X; x < r.Max.X; x += maxWidth {
		right := min(x+maxWidth, r.Max.X)
		rows := maxArea / (right - x) / tileSize * tileSize
		if rows == 0 {
			rows = maxArea / (right - x)
		}
		for y := r.Min.Y; y < r.Max.Y; y += rows {
			list = append(list, image.Rect(x, y, right, min(y+rows, r.Max.Y)))
		}
	}
	return list
}

// encode makes the rectangle r of an update, valid until the next call.
func (c *client) encode(f *display.Frame, r image.Rectangle, w *work) []byte {
	e := &c.encoders
	e.out = rectHeader(e.out[:0], r, w.caps.encoding)
	if w.caps.encoding == encodingRaw && w.format.own { // whose unused byte may be anything
		at, n := len(e.out), 4*r.Dx()*r.Dy()
		e.out = slices.Grow(e.out, n)[:at+n]
		copyOut(e.out[at:], f, r)
		return e.out
	}
	e.look(f, r)
	switch w.caps.encoding {
	case encodingZRLE:
		e.encodeZRLE(r.Dx(), r.Dy(), &w.format)
	case encodingTight:
		quality := 0
		if w.caps.jpeg && w.format.bytes >= 2 { // the form needs pixels of 16 or 32 bits
			quality = c.cfg.JPEG
		}
		e.encodeTight(r.Dx(), r.Dy(), &w.format, quality)
	default:
		for _, p := range e.pixels {
			e.out = w.format.put(e.out, p)
		}
	}
	return e.out
}

// look copies r out of the frame, once, since the guest goes on drawing.
func (e *encoders) look(f *display.Frame, r image.Rectangle) {
	n := r.Dx() * r.Dy()
	e.copied = slices.Grow(e.copied[:0], 4*n)[:4*n]
	e.pixels = slices.Grow(e.pixels[:0], n)[:n]
	copyOut(e.copied, f, r)
	for i := range e.pixels {
		e.pixels[i] = binary.LittleEndian.Uint32(e.copied[4*i:]) & 0xffffff
	}
}

// copyOut fills dst, of the size of r, with pixels of four bytes. What is outside of the frame is black.
func copyOut(dst []byte, f *display.Frame, r image.Rectangle) {
	in := r.Intersect(f.Bounds())
	if in != r || f.Off() {
		clear(dst)
	}
	if !f.Off() && !in.Empty() { // then it begins where r does
		part := f.Part(in)
		part.Copy(dst, 4*r.Dx(), part.Bounds())
	}
}

// encodeZRLE appends the pixels in tiles (RFC 6143, section 7.7.6) of one colour, of a palette, or raw.
func (e *encoders) encodeZRLE(width, height int, f *pixelFormat) {
	plain := e.plain[:0]
	for y := 0; y < height; y += tileSize {
		for x := 0; x < width; x += tileSize {
			w, h := min(tileSize, width-x), min(tileSize, height-y)
			tile := e.pixels[y*width+x:]
			if !e.palette.count(tile, width, w, h, 16) {
				plain = append(plain, 0)
				for row := range h {
					plain = f.putCompactLine(plain, tile[row*width:row*width+w])
				}
				continue
			}
			colors := e.palette.colors
			plain = append(plain, byte(len(colors)))
			plain = f.putCompactLine(plain, colors)
			switch n := len(colors); {
			case n > 4:
				plain = e.palette.pack(plain, tile, width, w, h, 4)
			case n > 2:
				plain = e.palette.pack(plain, tile, width, w, h, 2)
			case n > 1:
				plain = e.palette.pack(plain, tile, width, w, h, 1)
			}
		}
	}
	e.plain = plain
	packed := e.zrle.deflate(plain)
	e.out = binary.BigEndian.AppendUint32(e.out, uint32(len(packed)))
	e.out = append(e.out, packed...)
}

// Control bytes and filters of Tight (rfbproto, section Tight Encoding).
const (
	tightFill       = 0x80
	tightJPEG       = 0x90
	tightFilter     = 0x40 // a filter's number follows; stream 0
	filterPalette   = 1
	tightUnpacked   = 12 // fewer bytes are not compressed
	maxTightPalette = 256
)

// encodeTight appends the pixels as one colour, with a palette, or as they are; with a quality those of many colours as JPEG.
func (e *encoders) encodeTight(width, height int, f *pixelFormat, quality int) {
	if !e.palette.count(e.pixels, width, width, height, maxTightPalette) {
		if quality > 0 {
			e.encodeJPEG(width, height, quality)
			return
		}
		plain := e.plain[:0]
		plain = f.putTightLine(plain, e.pixels)
		e.out = append(e.out, 0)
		e.putTightData(plain)
		return
	}
	colors := e.palette.colors
	if len(colors) == 1 {
		e.out = f.putTightLine(append(e.out, tightFill), colors)
		return
	}
	e.out = append(e.out, tightFilter, filterPalette, byte(len(colors)-1))
	e.out = f.putTightLine(e.out, colors)
	bits := 8
	if len(colors) == 2 {
		bits = 1
	}
	e.putTightData(e.palette.pack(e.plain[:0], e.pixels, width, width, height, bits))
}

// putTightData appends data, compressed unless it is short.
func (e *encoders) putTightData(plain []byte) {
	e.plain = plain
	if len(plain) < tightUnpacked {
		e.out = append(e.out, plain...)
		return
	}
	e.putCounted(e.tight.deflate(plain))
}

// putCounted appends data behind its length, in one to three bytes.
func (e *encoders) putCounted(data []byte) {
	n := len(data)
	for range 2 {
		if n < 0x80 {
			break
		}
		e.out = append(e.out, byte(n)|0x80)
		n >>= 7
	}
	e.out = append(e.out, byte(n))
	e.out = append(e.out, data...)
}

// cursorRect appends the shape of the cursor; an empty one hides it.
func cursorRect(b []byte, cur *display.Cursor, w *work) []byte {
	width, height := cur.Width, cur.Height
	if !cur.Visible {
		width, height = 0, 0
	}
	at := image.Rectangle{Min: cur.Hot, Max: cur.Hot.Add(image.Pt(width, height))}
	pixels := cur.Pixels[:4*width*height]
	if w.caps.alphaCursor {
		b = binary.BigEndian.AppendUint32(rectHeader(b, at, encodingAlphaCursor), uint32(encodingRaw))
		for ; len(pixels) > 0; pixels = pixels[4:] {
			b = append(b, pixels[2], pixels[1], pixels[0], pixels[3])
		}
		return b
	}
	b = rectHeader(b, at, encodingCursor)
	mask := make([]byte, (width+7)/8*height)
	for i := range width * height {
		p := pixels[4*i:]
		alpha := uint32(p[3])
		if alpha >= 0x80 {
			x, y := i%width, i/width
			mask[y*((width+7)/8)+x/8] |= 0x80 >> (x % 8)
		}
		unmultiply := func(v byte) uint32 { return min(255, uint32(v)*255/max(alpha, 1)) }
		b = w.format.put(b, unmultiply(p[2])<<16|unmultiply(p[1])<<8|unmultiply(p[0]))
	}
	return append(b, mask...)
}

// ledBits are the lights in RFB's order: Scroll, Num, Caps Lock.
func ledBits(l input.LEDs) (b byte) {
	for i, light := range []input.LEDs{input.LEDScroll, input.LEDNum, input.LEDCaps} {
		if l&light != 0 {
			b |= 1 << i
		}
	}
	return b
}
