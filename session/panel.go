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

// panel is memory of the session's own, for a picture with a line over it, or for a text where there is no picture. The zero value shows nothing.
type panel struct {
	mem   *display.Memory
	g     display.Geometry
	line  string
	until time.Time // the line is shown; zero: none is
	// bar is what of the picture the line covers.
	bar image.Rectangle
	// frame is the picture that lies below; another one is copied whole.
	frame uint64
	from  *display.Memory
}

// never is how long a panel rests that shows no line.
const never = 24 * time.Hour

// say has a line shown from now on, for a while.
func (p *panel) say(line string) {
	p.line, p.until = line, time.Now().Add(noticeTime)
	p.from = nil // everything is drawn anew
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
	p.mem, p.g, p.from = m, g, nil
	return nil
}

// over shows a picture with the line over it.
func (p *panel) over(s *display.Surface, u *display.Update) {
	f := &u.Frame
	if p.resize(f.Width, f.Height) != nil {
		return
	}
	damage := u.Damage
	fresh := p.from != f.Memory || p.frame != f.Generation
	if fresh {
		damage = []image.Rectangle{f.Bounds()}
		p.from, p.frame = f.Memory, f.Generation
	}
	line := fresh
	for _, r := range damage {
		f.Copy(p.mem.Bytes(), p.g.Stride, r)
		line = line || r.Overlaps(p.bar)
	}
	if line {
		p.drawLine()
	}
	if s.Show(p.mem, p.g) != nil {
		return
	}
	for _, r := range damage {
		s.Damage(r)
	}
	if line {
		s.Damage(p.bar)
	}
}

// message shows a text where there is no picture; with enter it says how to start the machine again.
func (p *panel) message(s *display.Surface, text string, enter bool) {
	if p.resize(messageWidth, messageHeight) != nil {
		return
	}
	p.from = nil
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

// drawLine draws the line at the upper edge, in the middle.
func (p *panel) drawLine() {
	if p.line == "" {
		p.bar = image.Rectangle{}
		return
	}
	h := lineScale*basicfont.Face7x13.Height + 2*lineMargin
	w := min(lineScale*font.MeasureString(basicfont.Face7x13, p.line).Ceil()+4*lineMargin, p.g.Width)
	left := (p.g.Width - w) / 2
	p.bar = image.Rect(left, 0, left+w, min(h, p.g.Height))
	p.fill(p.bar, black)
	p.fill(image.Rect(p.bar.Min.X, p.bar.Max.Y-lineMargin/4, p.bar.Max.X, p.bar.Max.Y), accent)
	p.text(p.line, image.Pt(p.g.Width/2, p.bar.Max.Y/2), white)
}

func (p *panel) fill(r image.Rectangle, c uint32) {
	r = r.Intersect(p.g.Bounds())
	mem := p.mem.Bytes()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			binary.LittleEndian.PutUint32(mem[y*p.g.Stride+4*x:], c)
		}
	}
}

// text draws a line of text around a place.
func (p *panel) text(s string, middle image.Point, c uint32) {
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
				p.fill(image.Rectangle{at, at.Add(image.Pt(lineScale, lineScale))}, c)
			}
		}
	}
}

// notice shows a line over the picture for a while; s.mu is held.
func (s *Session) notice(line string) {
	s.panel.say(line)
	s.Changed() // for attend to look at the time
	s.again()
}

// endNotice shows the picture without a line; s.mu is held.
func (s *Session) endNotice() {
	s.panel.line, s.panel.until = "", time.Time{}
	s.again()
}
