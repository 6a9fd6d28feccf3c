package x11

import (
	"image"
	"time"

	"github.com/jezek/xgb/shm"
	"github.com/jezek/xgb/xproto"

	"github.com/sharevm/vmm/display"
)

const (
	frameTime  = time.Second / 60
	glanceTime = time.Second / 4 // between looks when nothing tells of changes
	// settleTime is how long a window keeps a size before the guest is asked for it: users drag.
	settleTime = 150 * time.Millisecond
)

// canvas is what the painter knows of picture and window.
type canvas struct {
	generation uint64
	picture    image.Point
	pixels     *display.Memory // of picture's size, as the server wants them; nil when the screen is off
	segment    shm.Seg         // the server's name for pixels; 0 where it does not share them
	band       []byte          // for a server that does not

	cursor       xproto.Cursor // what the window has
	made         xproto.Cursor // of the guest's shape; 0 for none
	cursorSerial uint64
}

// paintAll paints until the window is gone.
func (w *Window) paintAll() {
	v := w.cfg.Machine.Surface.NewViewer()
	defer v.Close()
	defer w.joinClipboard()()
	defer w.freePixels()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for changed := v.Changed(); ; {
		select {
		case <-w.wire.gone:
			return
		case job := <-w.jobs:
			job()
			continue
		case <-w.kick:
		case <-changed:
		case <-timer.C:
		}
		w.takeOffer()
		if rest := frameTime - time.Since(last); rest > 0 {
			timer.Reset(rest)
			changed = nil
			continue
		}
		last = time.Now()
		if !w.paint(v) {
			return
		}
		if v.Polled() {
			changed = nil
			timer.Reset(frameTime)
		} else {
			changed = v.Changed()
			timer.Reset(glanceTime)
		}
	}
}

// paint brings the window up to date, and says whether the server still answers.
func (w *Window) paint(v *display.Viewer) bool {
	w.mu.Lock()
	n, hidden, full := w.news, w.hidden, w.full
	w.news.exposed = false
	wish := !n.resized.IsZero() && time.Since(n.resized) >= settleTime
	if wish {
		w.news.resized = time.Time{}
	}
	w.mu.Unlock()
	if wish && n.size != w.picture {
		w.cfg.Machine.Surface.Wish(n.size)
	}
	if n.unmapped {
		return true
	}
	u := v.Update()
	if u.Frame.Generation != w.generation {
		w.generation = u.Frame.Generation
		if size := image.Pt(u.Frame.Width, u.Frame.Height); size != w.picture {
			w.resize(size, n.size, full)
		}
	}
	place := w.centre(n.size)
	if n.exposed {
		w.clearAround(place, n.size)
	}
	w.showCursor(&u.Cursor, hidden)
	rects := u.Damage
	if n.exposed {
		rects = []image.Rectangle{u.Frame.Bounds()}
	}
	visible := image.Rectangle{Max: n.size}.Sub(place.Min)
	drawn := false
	for _, r := range rects {
		if r = r.Intersect(visible); !r.Empty() && w.pixels != nil {
			u.Frame.Copy(w.pixels.Bytes(), 4*w.picture.X, r)
			w.put(r, place.Min)
			drawn = true
		}
	}
	if !drawn {
		return true
	}
	// The answer says that the server has read the pixels. It also keeps us from being faster than it is.
	return w.wire.within(func() error {
		_, err := xproto.GetInputFocus(w.x).Reply()
		return err
	}) == nil
}

// centre finds the picture's place in a window of a size: in the middle, or at the upper left where it is larger than the window.
func (w *Window) centre(window image.Point) image.Rectangle {
	at := image.Pt(max(0, window.X-w.picture.X)/2, max(0, window.Y-w.picture.Y)/2)
	place := image.Rectangle{Min: at, Max: at.Add(w.picture)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.place = place
	return place
}

// clearAround makes what the picture leaves of the window black.
func (w *Window) clearAround(p image.Rectangle, window image.Point) {
	for _, r := range []image.Rectangle{
		image.Rect(0, 0, window.X, p.Min.Y), image.Rect(0, p.Max.Y, window.X, window.Y),
		image.Rect(0, p.Min.Y, p.Min.X, p.Max.Y), image.Rect(p.Max.X, p.Min.Y, window.X, p.Max.Y),
	} {
		if r = r.Intersect(image.Rectangle{Max: window}); !r.Empty() {
			xproto.ClearArea(w.x, false, w.id, int16(r.Min.X), int16(r.Min.Y), uint16(r.Dx()), uint16(r.Dy()))
		}
	}
}

// resize makes room for a picture of another size, and has the window follow it.
func (w *Window) resize(size, window image.Point, full bool) {
	w.freePixels()
	w.picture = size
	xproto.ClearArea(w.x, false, w.id, 0, 0, 0, 0)
	if size.X == 0 || size.Y == 0 {
		return
	}
	m, err := display.NewMemory("x11", 4*size.X*size.Y)
	if err != nil {
		w.cfg.Log.Warn("the window has no memory for the picture", "error", err)
		return
	}
	w.pixels = m
	w.share()
	if !full && size != window {
		xproto.ConfigureWindow(w.x, w.id, xproto.ConfigWindowWidth|xproto.ConfigWindowHeight, []uint32{uint32(size.X), uint32(size.Y)})
	}
}

// share has the server map the pixels.
func (w *Window) share() {
	if w.shmOpcode == 0 {
		return
	}
	seg, err := shm.NewSegId(w.x)
	if err != nil {
		return
	}
	w.wire.file = w.pixels.FD()
	w.wire.files.Store(int32(w.shmOpcode))
	err = w.wire.within(func() error { return shm.AttachFdChecked(w.x, seg, true).Check() })
	if err != nil {
		w.cfg.Log.Info("the X server does not share memory, and gets copies", "error", err)
		w.shmOpcode = 0
		return
	}
	w.segment = seg
}

func (w *Window) freePixels() {
	if w.segment != 0 {
		shm.Detach(w.x, w.segment)
		w.segment = 0
	}
	if w.pixels != nil {
		w.pixels.Release()
		w.pixels = nil
	}
}

// put draws rectangle r of the pixels, where the picture's corner is at.
func (w *Window) put(r image.Rectangle, at image.Point) {
	x, y := int16(at.X+r.Min.X), int16(at.Y+r.Min.Y)
	if w.segment != 0 {
		shm.PutImage(w.x, xproto.Drawable(w.id), w.gc, uint16(w.picture.X), uint16(w.picture.Y), uint16(r.Min.X), uint16(r.Min.Y), uint16(r.Dx()), uint16(r.Dy()),
			x, y, depth, xproto.ImageFormatZPixmap, 0, w.segment, 0)
		return
	}
	w.send(xproto.Drawable(w.id), w.gc, depth, r, image.Pt(int(x), int(y)), w.pixels.Bytes(), 4*w.picture.X)
}

// putHeader is the length of a PutImage request without its pixels.
const putHeader = 24

// send sends rectangle r of pixels whose lines are stride bytes apart to a drawable, in as many requests as it takes.
func (w *Window) send(to xproto.Drawable, gc xproto.Gcontext, depth byte, r image.Rectangle, at image.Point, pixels []byte, stride int) {
	columns := min(r.Dx(), (w.request-putHeader)/4)
	lines := max(1, (w.request-putHeader)/(4*columns))
	for y := r.Min.Y; y < r.Max.Y; y += lines {
		for x := r.Min.X; x < r.Max.X; x += columns {
			p := image.Rect(x, y, x+columns, y+lines).Intersect(r)
			w.band = w.band[:0]
			for line := p.Min.Y; line < p.Max.Y; line++ {
				w.band = append(w.band, pixels[line*stride+4*p.Min.X:line*stride+4*p.Max.X]...)
			}
			to16 := at.Add(p.Min.Sub(r.Min))
			xproto.PutImage(w.x, xproto.ImageFormatZPixmap, to, gc, uint16(p.Dx()), uint16(p.Dy()), int16(to16.X), int16(to16.Y), 0, depth, w.band)
		}
	}
}
