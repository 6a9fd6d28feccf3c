package drm

import (
	"errors"
	"fmt"
	"image"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/display"
)

// buffer is a dumb buffer, mapped: pixels as B, G, R, and a byte that is unused or alpha.
type buffer struct {
	c      *card
	size   image.Point
	pitch  int // bytes from one line to the next
	handle uint32
	fb     uint32 // 0 for a cursor's
	mem    []byte
	behind behind
}

// newBuffer makes a buffer of a size, and with show a framebuffer of it.
func newBuffer(c *card, size image.Point, show bool) (_ *buffer, err error) {
	d := dumbInfo{Width: uint32(size.X), Height: uint32(size.Y), BPP: 32}
	if err := call(c.kernel, nrCreateDumb, fmt.Sprintf("make a buffer of %dx%d pixels", size.X, size.Y), &d); err != nil {
		return nil, err
	}
	b := &buffer{c: c, size: size, pitch: int(d.Pitch), handle: d.Handle}
	defer func() {
		if err != nil {
			b.free()
		}
	}()
	if d.Size > display.MaxBytes || int(d.Pitch) < 4*size.X || uint64(d.Pitch)*uint64(size.Y) > d.Size {
		return nil, fmt.Errorf("a buffer of %dx%d pixels has lines of %d bytes and %d bytes in all", size.X, size.Y, d.Pitch, d.Size)
	}
	m := mapInfo{Handle: d.Handle}
	if err := call(c.kernel, nrMapDumb, "map a buffer", &m); err != nil {
		return nil, err
	}
	if b.mem, err = c.mmap(int64(m.Offset), int(d.Size)); err != nil {
		return nil, fmt.Errorf("map a buffer: %w", err)
	}
	if show {
		f := fbInfo{Width: d.Width, Height: d.Height, Pitch: d.Pitch, BPP: 32, Depth: 24, Handle: d.Handle}
		if err := call(c.kernel, nrAddFB, "show a buffer", &f); err != nil {
			return nil, err
		}
		b.fb = f.ID
	}
	b.behind.add(image.Rectangle{Max: size})
	return b, nil
}

// free gives the buffer back. What fails is taken care of when the card is closed.
func (b *buffer) free() {
	if b.fb != 0 {
		_ = call(b.c.kernel, nrRemoveFB, "", &b.fb)
	}
	if b.mem != nil {
		_ = b.c.munmap(b.mem)
	}
	_ = call(b.c.kernel, nrDestroyDumb, "", &b.handle)
}

// maxBehind bounds the rectangles that a buffer is behind by.
const maxBehind = 24

// behind is what has changed since a buffer was drawn: few rectangles, which may overlap.
type behind struct {
	rects [maxBehind]image.Rectangle
	n     int
}

func (l *behind) add(r image.Rectangle) {
	if r.Empty() {
		return
	}
	for i := range l.rects[:l.n] {
		if r.In(l.rects[i]) {
			return
		}
	}
	if l.n == maxBehind {
		for _, o := range l.rects[1:] {
			l.rects[0] = l.rects[0].Union(o)
		}
		l.n = 1
	}
	l.rects[l.n] = r
	l.n++
}

func (l *behind) all() []image.Rectangle { return l.rects[:l.n] }

// output is a monitor that shows our buffers.
type output struct {
	c       *card
	m       *monitor
	size    image.Point
	buffers []*buffer // two, or one where changes are told
	front   int       // the one that is on the screen
	pending bool      // a flip to it is on its way
	set     bool      // the mode is set
	noFlip  bool      // a single buffer, whose changes are told
	noDirty bool      // the driver does not want to know of changes
	clips   []clip
	cursor  *buffer // nil where the card has none
}

func newOutput(c *card, m *monitor) (*output, error) {
	o := &output{c: c, m: m, size: image.Pt(int(m.mode.Width), int(m.mode.Height)), noFlip: c.copies()}
	n := 2
	if o.noFlip {
		n = 1
	}
	for range n {
		b, err := newBuffer(c, o.size, true)
		if err != nil {
			o.free()
			return nil, err
		}
		o.buffers = append(o.buffers, b)
	}
	if c.cursorW > 0 && c.cursorH > 0 {
		o.cursor, _ = newBuffer(c, image.Pt(c.cursorW, c.cursorH), false) // without it cursors are drawn
	}
	return o, nil
}

// free takes the picture from the screen.
func (o *output) free() {
	for _, b := range o.buffers {
		b.free()
	}
	if o.cursor != nil {
		o.cursor.free()
	}
}

// back is the buffer to draw in.
func (o *output) back() *buffer { return o.buffers[(o.front+1)%len(o.buffers)] }

// lose says that somebody else had the screen: the mode has to be set anew.
func (o *output) lose() { o.set, o.pending = false, false }

var errBusy = errors.New("a flip is on its way")

// present shows the back buffer, of which rects have just been drawn.
func (o *output) present(rects []image.Rectangle) error {
	if o.pending {
		return errBusy
	}
	b := o.back()
	switch {
	case !o.set:
		for _, crtc := range o.c.crtcs {
			if crtc != o.m.crtc {
				_ = setCRTC(o.c.kernel, crtc, 0, 0, nil) // other monitors show nothing; some never did
			}
		}
		if err := setCRTC(o.c.kernel, o.m.crtc, b.fb, o.m.connector, &o.m.mode); err != nil {
			return err
		}
		o.set = true
		o.tell(b, rects) // some show nothing until they are told
	case o.noFlip:
		o.tell(b, rects)
		return nil
	default:
		f := flipInfo{CRTC: o.m.crtc, FB: b.fb, Flags: flipEvent}
		if err := call(o.c.kernel, nrPageFlip, "flip to another buffer", &f); err != nil {
			return err
		}
		o.pending = true
	}
	o.front = (o.front + 1) % len(o.buffers)
	return nil
}

// single has the output do without flips, which the driver refuses.
func (o *output) single() {
	for i, b := range o.buffers {
		if i != o.front {
			b.free()
		}
	}
	o.buffers, o.front, o.noFlip, o.set = []*buffer{o.buffers[o.front]}, 0, true, false
	o.buffers[0].behind.add(image.Rectangle{Max: o.size})
}

// tell tells the card what has changed.
func (o *output) tell(b *buffer, rects []image.Rectangle) {
	if o.noDirty {
		return
	}
	o.clips = o.clips[:0]
	for _, r := range rects {
		if r = r.Intersect(image.Rectangle{Max: o.size}); !r.Empty() {
			o.clips = append(o.clips, clip{uint16(r.Min.X), uint16(r.Min.Y), uint16(r.Max.X), uint16(r.Max.Y)})
		}
	}
	if err := dirty(o.c.kernel, b.fb, o.clips); errors.Is(err, unix.ENOSYS) {
		o.noDirty = true // the card reads the buffer itself
	}
}

// shape gives the card's cursor a shape. It says whether the card takes it.
func (o *output) shape(c *display.CursorImage) bool {
	b := o.cursor
	if b == nil || c.Width > b.size.X || c.Height > b.size.Y {
		return false
	}
	clear(b.mem)
	for y := range c.Height {
		copy(b.mem[y*b.pitch:], c.Pixels[4*y*c.Width:4*(y+1)*c.Width])
	}
	r := cursorInfo{Flags: cursorShape, CRTC: o.m.crtc, Width: uint32(b.size.X), Height: uint32(b.size.Y), Handle: b.handle, HotX: int32(c.Hot.X), HotY: int32(c.Hot.Y)}
	if call(o.c.kernel, nrCursor2, "", &r) != nil {
		b.free()
		o.cursor = nil
		return false
	}
	return true
}

// unshape hides the card's cursor.
func (o *output) unshape() {
	if o.cursor != nil {
		_ = call(o.c.kernel, nrCursor2, "", &cursorInfo{Flags: cursorShape, CRTC: o.m.crtc}) // it has been shown before, so that it can be hidden
	}
}

// move puts the upper left corner of the card's cursor to a place.
func (o *output) move(at image.Point) {
	_ = call(o.c.kernel, nrCursor2, "", &cursorInfo{Flags: cursorMove, CRTC: o.m.crtc, X: int32(at.X), Y: int32(at.Y)})
}
