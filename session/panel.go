package session

import (
	"encoding/binary"
	"image"
	"image/color"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/sharevm/vmm/display"
)

// Sizes in pixels.
const (
	messageWidth  = 1024 // of the picture where there is none
	messageHeight = 768
	lineMargin    = 8
	lineScale     = 2 // of the font
)

// Colours, as XRGB8888.
const (
	black  = 0xff101418
	white  = 0xffe8ecf0
	accent = 0xff2d6cdf
)

// panel is memory of the session's own, for a text where there is no picture, and the line over the picture. The zero value shows nothing.
type panel struct {
	mem   *display.Memory
	g     display.Geometry
	line  string
	until time.Time // the line is shown; zero: none is
	laid  int       // the line lies over a picture of that width; 0 if it does not
}

// never is how long a panel rests that shows no line.
const never = 24 * time.Hour

// say has a line shown from now on, for a while.
func (p *panel) say(line string) {
	p.line, p.until, p.laid = line, time.Now().Add(noticeTime), 0
}

// rest is how long the line is still to be shown.
func (p *panel) rest(now time.Time) time.Duration {
	if p.until.IsZero() {
		return never
	}
	return p.until.Sub(now)
}

// shown says whether a line lies over the picture.
func (p *panel) shown() bool { return !p.until.IsZero() }

func (p *panel) free() {
	if p.mem != nil {
		p.mem.Release()
		p.mem = nil
	}
}

// resize sees that the panel has memory for a picture of w by h pixels.
func (p *panel) resize(w, h int) error {
	g := display.Geometry{Width: w, Height: h, Stride: 4 * w, Format: display.XRGB8888}
	if p.mem != nil && p.g == g {
		return nil
	}
	m, err := display.NewMemory("session", 4*w*h)
	if err != nil {
		return err
	}
	p.free()
	p.mem, p.g = m, g
	return nil
}

// lay has the line lie over a picture of that width, if it is shown.
func (p *panel) lay(s *display.Surface, width int) {
	if !p.shown() || p.laid == width {
		return
	}
	p.laid = width
	s.SetOverlay(lineOver(p.line, width))
}

// lift takes the line away.
func (p *panel) lift(s *display.Surface) {
	p.laid = 0
	s.SetOverlay(display.Overlay{})
}

// message shows a text where there is no picture; with enter it says how to start the machine again.
func (p *panel) message(s *display.Surface, text string, enter bool) {
	if p.resize(messageWidth, messageHeight) != nil {
		return
	}
	p.lift(s)
	p.fill(p.g.Bounds(), black)
	middle := image.Pt(messageWidth/2, messageHeight/2)
	p.text(text, middle, white)
	if enter {
		p.text("Enter starts it again", middle.Add(image.Pt(0, 3*basicfont.Face7x13.Height)), white)
	}
	if s.Show(p.mem, p.g) == nil {
		s.Damage(p.g.Bounds())
	}
}

// lineOver is a line at the upper edge of a picture of that width, in the middle.
func lineOver(line string, width int) display.Overlay {
	h := lineScale*basicfont.Face7x13.Height + 2*lineMargin
	w := min(lineScale*font.MeasureString(basicfont.Face7x13, line).Ceil()+4*lineMargin, width)
	c := canvas{pixels: make([]byte, 4*w*h), stride: 4 * w, bounds: image.Rect(0, 0, w, h)}
	c.fill(c.bounds, black)
	c.fill(image.Rect(0, h-lineMargin/4, w, h), accent)
	c.text(line, image.Pt(w/2, h/2), white)
	return display.Overlay{Rect: c.bounds.Add(image.Pt((width-w)/2, 0)), Pixels: c.pixels}
}

// canvas is XRGB8888 to draw on.
type canvas struct {
	pixels []byte
	stride int
	bounds image.Rectangle
}

func (p *panel) canvas() canvas { return canvas{p.mem.Bytes(), p.g.Stride, p.g.Bounds()} }

func (p *panel) fill(r image.Rectangle, c uint32)            { p.canvas().fill(r, c) }
func (p *panel) text(s string, middle image.Point, c uint32) { p.canvas().text(s, middle, c) }

func (v canvas) fill(r image.Rectangle, c uint32) {
	r = r.Intersect(v.bounds)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			binary.LittleEndian.PutUint32(v.pixels[y*v.stride+4*x:], c)
		}
	}
}

// text draws a line of text around a place.
func (v canvas) text(s string, middle image.Point, c uint32) {
	face := basicfont.Face7x13
	w := font.MeasureString(face, s).Ceil()
	img := image.NewAlpha(image.Rect(0, 0, w, face.Height))
	d := font.Drawer{Dst: img, Src: image.NewUniform(color.Alpha{255}), Face: face, Dot: fixed.P(0, face.Ascent)}
	d.DrawString(s)
	corner := middle.Sub(image.Pt(w*lineScale/2, face.Height*lineScale/2))
	for y := range face.Height {
		for x := range w {
			if img.AlphaAt(x, y).A > 127 {
				at := corner.Add(image.Pt(x*lineScale, y*lineScale))
				v.fill(image.Rectangle{at, at.Add(image.Pt(lineScale, lineScale))}, c)
			}
		}
	}
}

// notice shows a line over the picture for a while; s.mu is held.
func (s *Session) notice(line string) {
	s.panel.say(line)
	s.Changed() // for attend to look at the time
	if s.pictured() && s.looking != nil {
		s.panel.lay(s.surface, s.surface.Size().X)
	}
}

// pictured says whether the front machine has a picture; s.mu is held.
func (s *Session) pictured() bool {
	r := s.machines[s.front].remote
	return r != nil && r.Surface.Size() != (image.Point{})
}

// endNotice shows the picture without a line; s.mu is held.
func (s *Session) endNotice() {
	s.panel.line, s.panel.until = "", time.Time{}
	s.panel.lift(s.surface)
	if !s.pictured() {
		s.again() // the text in place of a picture says how long it takes
	}
}
