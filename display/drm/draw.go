package drm

import (
	"encoding/binary"
	"image"

	"github.com/sharevm/vmm/display"
)

// layout says where on the screen the picture is. The zero layout is of a screen that is off.
type layout struct {
	screen, picture image.Point
	place           image.Rectangle // of the picture on the screen
	// columns says for each pixel of a line of place which two of the picture's it lies between, and how near to the second; nil where no scaling is needed.
	columns []sample
	// lines are the picture's, converted, and mixed a line between two of them; which of them, -1 for none.
	lines [2][]byte
	which [2]int
	mixed []uint32
}

// sample is between pixels a and b: share 256ths of b, the rest of a.
type sample struct{ a, b, share int32 }

// newLayout fits a picture to a screen: as large as possible in its own shape, and unchanged if it fits exactly.
func newLayout(screen, picture image.Point) *layout {
	l := &layout{screen: screen, picture: picture}
	if picture.X < 1 || picture.Y < 1 {
		return l
	}
	size := image.Pt(screen.X, max(picture.Y*screen.X/picture.X, 1))
	if size.Y > screen.Y {
		size = image.Pt(max(picture.X*screen.Y/picture.Y, 1), screen.Y)
	}
	if n := min(screen.X/picture.X, screen.Y/picture.Y); n >= 1 && near(n*picture.X, size.X) && near(n*picture.Y, size.Y) {
		size = picture.Mul(n) // whole pixels look better than the last few per cent of the screen
	}
	at := screen.Sub(size).Div(2)
	l.place = image.Rectangle{at, at.Add(size)}
	if size == picture {
		return l
	}
	l.columns = samples(size.X, picture.X)
	for i := range l.lines {
		l.lines[i] = make([]byte, 4*picture.X)
	}
	l.mixed = make([]uint32, picture.X)
	return l
}

// near says whether a size is so little smaller than another that nobody minds.
func near(a, b int) bool { return 20*(b-a) <= b }

// samples says where n places lie among m.
func samples(n, m int) []sample {
	list := make([]sample, n)
	for i := range list {
		list[i] = sampleAt(i, n, m)
	}
	return list
}

// sampleAt says where the middle of place i of n lies among m, without mixing where n is a multiple of m.
func sampleAt(i, n, m int) sample {
	if n%m == 0 {
		return sample{a: int32(i / (n / m)), b: int32(i / (n / m))}
	}
	at := max((int64(2*i+1)*int64(m)*256/int64(n)-256)/2, 0) // in 256ths
	a := min(int(at>>8), m-1)
	return sample{int32(a), int32(min(a+1, m-1)), int32(at & 255)}
}

// onScreen is what of the screen shows rectangle r of the picture.
func (l *layout) onScreen(r image.Rectangle) image.Rectangle {
	if l.columns == nil {
		return r.Add(l.place.Min)
	}
	// A pixel shows beyond its own place, by the mixing.
	grow := func(lo, hi, n, m int) (int, int) { return max((lo-1)*n/m-1, 0), min((hi+1)*n/m+2, n) }
	x0, x1 := grow(r.Min.X, r.Max.X, l.place.Dx(), l.picture.X)
	y0, y1 := grow(r.Min.Y, r.Max.Y, l.place.Dy(), l.picture.Y)
	return image.Rect(x0, y0, x1, y1).Add(l.place.Min).Intersect(l.place)
}

// point is where on the screen a point of the picture is.
func (l *layout) point(p image.Point) image.Point {
	if l.columns == nil {
		return p.Add(l.place.Min)
	}
	return image.Pt(p.X*l.place.Dx()/l.picture.X, p.Y*l.place.Dy()/l.picture.Y).Add(l.place.Min)
}

// draw draws rectangle r of the screen: the picture, and black around it.
func (l *layout) draw(b *buffer, f *display.Frame, r image.Rectangle) {
	r = r.Intersect(image.Rectangle{Max: l.screen})
	in := r.Intersect(l.place)
	if f.Off() {
		in = image.Rectangle{}
	}
	if in != r {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			line := b.mem[y*b.pitch : y*b.pitch+4*b.size.X]
			if in.Empty() || y < in.Min.Y || y >= in.Max.Y {
				clear(line[4*r.Min.X : 4*r.Max.X])
				continue
			}
			clear(line[4*r.Min.X : 4*in.Min.X])
			clear(line[4*in.Max.X : 4*r.Max.X])
		}
	}
	switch {
	case in.Empty():
	case l.columns == nil:
		f.Copy(b.mem[l.place.Min.Y*b.pitch+4*l.place.Min.X:], b.pitch, in.Sub(l.place.Min))
	default:
		l.scale(b, f, in)
	}
}

// scale draws what is inside the picture's place, from a picture of another size.
func (l *layout) scale(b *buffer, f *display.Frame, r image.Rectangle) {
	l.which = [2]int{-1, -1}
	from := l.columns[r.Min.X-l.place.Min.X : r.Max.X-l.place.Min.X]
	x0, x1 := int(from[0].a), int(from[len(from)-1].b)+1
	mixed := sample{a: -1}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		if s := sampleAt(y-l.place.Min.Y, l.place.Dy(), l.picture.Y); s != mixed {
			mixed = s
			l.mix(f, s, x0, x1)
		}
		out := b.mem[y*b.pitch+4*r.Min.X : y*b.pitch+4*r.Max.X]
		for _, c := range from {
			v := l.mixed[c.a]
			if c.share != 0 {
				v = between(v, l.mixed[c.b], uint32(c.share))
			}
			binary.LittleEndian.PutUint32(out, v)
			out = out[4:]
		}
	}
}

// mix makes a line of what lies between two lines of the picture.
func (l *layout) mix(f *display.Frame, s sample, x0, x1 int) {
	a := l.line(f, int(s.a), int(s.b), x0, x1)[4*x0 : 4*x1]
	mixed := l.mixed[x0:x1]
	if s.share == 0 {
		for i := range mixed {
			mixed[i] = binary.LittleEndian.Uint32(a)
			a = a[4:]
		}
		return
	}
	b := l.line(f, int(s.b), int(s.a), x0, x1)[4*x0 : 4*x1]
	for i := range mixed {
		mixed[i] = between(binary.LittleEndian.Uint32(a), binary.LittleEndian.Uint32(b), uint32(s.share))
		a, b = a[4:], b[4:]
	}
}

// line converts a line of the picture, and keeps the one that is needed beside it.
func (l *layout) line(f *display.Frame, y, beside, x0, x1 int) []byte {
	for i, w := range l.which {
		if w == y {
			return l.lines[i]
		}
	}
	i := 0
	if l.which[0] == beside {
		i = 1
	}
	one := f.Part(image.Rect(0, y, f.Width, y+1))
	one.Copy(l.lines[i], 4*l.picture.X, image.Rect(x0, 0, x1, 1))
	l.which[i] = y
	return l.lines[i]
}

// between mixes two pixels, of b so many 256ths.
func between(a, b, share uint32) uint32 {
	const even = 0x00ff00ff
	lo := (a&even*(256-share) + b&even*share) >> 8 & even
	hi := (a>>8&even*(256-share) + b>>8&even*share) & (even << 8)
	return lo | hi
}

// blend draws a cursor whose corner is at a place of the screen.
func blend(b *buffer, c *display.CursorImage, at image.Point) {
	r := image.Rect(0, 0, c.Width, c.Height).Intersect(image.Rectangle{Max: b.size}.Sub(at))
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			src := c.Pixels[4*(y*c.Width+x):]
			dst := b.mem[(at.Y+y)*b.pitch+4*(at.X+x):]
			for k := range 3 {
				dst[k] = byte(min(255, int(src[k])+int(dst[k])*(255-int(src[3]))/255))
			}
		}
	}
}
