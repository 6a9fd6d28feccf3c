package session

import (
	"image"
	"math"
	"slices"
	"strconv"

	"golang.org/x/image/draw"
	"golang.org/x/image/font/basicfont"

	"github.com/sharevm/vmm/display"
)

// Sizes in the overview, in pixels.
const (
	tileGap    = 24 // around each tile
	tileBorder = 4
	tileLabel  = lineScale*13 + lineMargin // height
)

// dark is the ground of a tile without a picture, as XRGB8888.
const dark = 0xff20262c

// columnsFor is how many tiles of n stand side by side.
func columnsFor(n int) int { return max(int(math.Ceil(math.Sqrt(float64(n)))), 1) }

// tilePlace is where tile i of n is in an overview of that size.
func tilePlace(size image.Point, n, i int) image.Rectangle {
	columns := columnsFor(n)
	rows := (n + columns - 1) / columns
	x, y := i%columns, i/columns
	cell := image.Rect(x*size.X/columns, y*size.Y/rows, (x+1)*size.X/columns, (y+1)*size.Y/rows)
	return cell.Inset(min(tileGap, cell.Dx()/8, cell.Dy()/8))
}

// tileAt is the tile of n at a place; -1 where there is none.
func tileAt(size image.Point, n int, at image.Point) int {
	for i := range n {
		if at.In(tilePlace(size, n, i)) {
			return i
		}
	}
	return -1
}

// drawOverview draws what has changed of the tiles, and returns where.
func drawOverview(p *panel, tiles []*tile, size image.Point, chosen int) (damage []image.Rectangle) {
	had := p.mem
	if p.resize(size.X, size.Y) != nil {
		return nil
	}
	fresh := p.mem != had
	if fresh {
		p.fill(p.g.Bounds(), black)
		damage = append(damage, p.g.Bounds())
	}
	for i, t := range tiles {
		if place := tilePlace(size, len(tiles), i); t.draw(p, place, i, i == chosen, fresh) {
			damage = append(damage, place)
		}
	}
	return damage
}

// draw draws the tile if it has changed, and says whether.
func (t *tile) draw(p *panel, place image.Rectangle, number int, chosen, fresh bool) bool {
	now := drawn{place: place, text: t.text, chosen: chosen}
	u := &display.Update{}
	if t.viewer != nil {
		u = t.viewer.Update()
		now.generation = u.Frame.Generation
	}
	if !fresh && now == t.drawn && len(u.Damage) == 0 {
		return false
	}
	t.drawn = now
	border := uint32(black)
	if chosen {
		border = accent
	}
	p.fill(place, border)
	inner := place.Inset(tileBorder)
	picture := image.Rectangle{inner.Min, image.Pt(inner.Max.X, max(inner.Max.Y-tileLabel, inner.Min.Y))}
	p.fill(picture, dark)
	if !u.Frame.Off() {
		t.small.draw(p, fit(picture, u.Frame.Width, u.Frame.Height), &u.Frame)
	}
	label := image.Rectangle{image.Pt(inner.Min.X, picture.Max.Y), inner.Max}
	text := strconv.Itoa(number+1) + "  " + t.text
	if room := label.Dx() / (lineScale * basicfont.Face7x13.Advance); len(text) > room { // in bytes: at worst it is cut short
		text = string([]rune(text)[:min(max(room, 0), len([]rune(text)))])
	}
	p.text(text, label.Min.Add(label.Size().Div(2)), white)
	return true
}

// fit is the largest rectangle in the middle of r that has the shape of width by height.
func fit(r image.Rectangle, width, height int) image.Rectangle {
	w, h := r.Dx(), r.Dx()*height/width
	if h > r.Dy() {
		w, h = r.Dy()*width/height, r.Dy()
	}
	corner := r.Min.Add(image.Pt((r.Dx()-w)/2, (r.Dy()-h)/2))
	return image.Rectangle{corner, corner.Add(image.Pt(w, h))}
}

// thumbnail makes a picture small. It keeps its memory, which is bounded by the size of what comes out, however large the picture is.
type thumbnail struct {
	line   []byte
	pixels []byte
}

// draw draws f at a place of the panel.
func (t *thumbnail) draw(p *panel, place image.Rectangle, f *display.Frame) {
	to := place.Size()
	if to.X <= 0 || to.Y <= 0 {
		return
	}
	// The scaler makes a pixel of the four nearest to it, which is enough down to half the size: of what is larger than that, every step-th pixel has to do.
	step := max(min(f.Width/to.X, f.Height/to.Y)/2, 1)
	from := image.Pt((f.Width+step-1)/step, (f.Height+step-1)/step)
	t.line = slices.Grow(t.line[:0], 4*f.Width)[:4*f.Width]
	t.pixels = slices.Grow(t.pixels[:0], 4*from.X*from.Y)[:4*from.X*from.Y]
	for y := range from.Y {
		one := f.Part(image.Rect(0, y*step, f.Width, y*step+1))
		out := t.pixels[4*from.X*y:][:4*from.X]
		if step == 1 {
			one.Copy(out, len(out), one.Bounds())
			continue
		}
		one.Copy(t.line, len(t.line), one.Bounds())
		for x := range from.X {
			copy(out[4*x:4*x+4], t.line[4*x*step:])
		}
	}
	// Red and blue are the other way round on both sides, which is the same to the scaler; the fourth byte is 0xff, as an alpha is where nothing shines through.
	src := &image.RGBA{Pix: t.pixels, Stride: 4 * from.X, Rect: image.Rectangle{Max: from}}
	dst := &image.RGBA{Pix: p.mem.Bytes(), Stride: p.g.Stride, Rect: p.g.Bounds()}
	draw.ApproxBiLinear.Scale(dst, place, src, src.Rect, draw.Src, nil)
}

// arrow is the overview's pointer.
var arrow = func() display.CursorImage {
	const w, h = 12, 18
	c := display.CursorImage{Width: w, Height: h, Pixels: make([]byte, 4*w*h)}
	for y := range h {
		end := y * w / h
		for x := range end + 1 {
			v := byte(0xff)
			if x == 0 || x == end || y == h-1 {
				v = 0
			}
			copy(c.Pixels[4*(y*w+x):], []byte{v, v, v, 0xff})
		}
	}
	return c
}()
