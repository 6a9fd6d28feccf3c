package vnc

import (
	"encoding/binary"
	"image"
	"time"

	"github.com/sharevm/vmm/display"
)

const (
	// frameTime is the least time between two updates.
	frameTime = time.Second / 60
	// maxPending bounds the rectangles that a viewer is behind by.
	maxPending = 16
)

// canvas is what the writer knows of the viewer's picture.
type canvas struct {
	size        image.Point // as the viewer was told
	generation  uint64      // of the surface's frame
	pending     []image.Rectangle
	pieces      []image.Rectangle // of the update at hand
	cursor      uint64            // serial of the one that the viewer has
	cursorShown bool
	encoders
}

// work is what there is to do for the writer.
type work struct {
	format   pixelFormat
	caps     capabilities
	clipCaps uint32
	request
	owed
}

// write sends updates until done is closed or the connection ends.
func (c *client) write(done <-chan struct{}) error {
	v := c.cfg.Machine.Surface.NewViewer()
	defer v.Close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for {
		w := c.work()
		if err := c.sendClipboard(&w); err != nil {
			return err
		}
		rest := frameTime - time.Since(last)
		var changed <-chan struct{}
		switch {
		case !w.pending:
		case rest > 0:
			timer.Reset(rest)
		default:
			last = time.Now()
			sent, err := c.update(v.Update(), &w)
			if err != nil {
				return err
			}
			if sent {
				continue
			}
			if v.Polled() {
				timer.Reset(frameTime)
			} else {
				changed = v.Changed()
			}
		}
		select {
		case <-done:
			return nil
		case <-c.kick:
		case <-changed:
		case <-timer.C:
		}
	}
}

// work takes what the reader has left. The request and what is owed with an update stay until that is sent.
func (c *client) work() work {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := work{c.format, c.caps, c.clipCaps, c.request, c.owed}
	c.owed.hasCut, c.owed.provide, c.owed.ask, c.owed.clipStart = false, false, false, false
	if !c.caps.extendedClip {
		c.owed.cut = "" // nobody will ask for it
	}
	c.request.full = image.Rectangle{} // from here on in pending
	c.add(w.full)
	return w
}

// answered notes that the request of w has been answered, with what was owed then.
func (c *client) answered(w *work) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.request.pending = c.request != (request{pending: true, area: w.area}) // one that came meanwhile stays
	o := &c.owed
	o.extendedKeys = o.extendedKeys && !w.extendedKeys
	o.leds = o.leds && !w.leds
	if o.size && w.size {
		o.size, o.sizeReason, o.sizeStatus = false, 0, 0
	}
}

// add notes that r has to be sent.
func (k *canvas) add(r image.Rectangle) {
	r = r.Intersect(image.Rectangle{Max: k.size})
	if r.Empty() {
		return
	}
	for _, p := range k.pending {
		if r.In(p) {
			return
		}
	}
	if len(k.pending) == maxPending {
		for _, p := range k.pending {
			r = r.Union(p)
		}
		k.pending = k.pending[:0]
	}
	k.pending = append(k.pending, r)
}

// update answers a request if there is something to tell.
func (c *client) update(u *display.Update, w *work) (sent bool, err error) {
	f := &u.Frame
	if f.Generation != c.generation {
		c.generation = f.Generation
		size := image.Pt(f.Width, f.Height)
		if f.Off() {
			size = c.size
		}
		if size != c.size && (w.caps.desktopSize || w.caps.extendedSize) {
			c.size, w.size, w.sizeReason, w.sizeStatus = size, true, 0, 0
		}
		c.pending = c.pending[:0]
		c.add(image.Rectangle{Max: c.size})
	}
	for _, r := range u.Damage {
		c.add(r)
	}
	if w.size {
		// A viewer clears its picture at a new size: the pixels come with its next request.
		if err := c.begin(w, c.sizeRect(nil, w), 1); err != nil {
			return true, err
		}
		return true, c.out.Flush()
	}
	head, n := c.extras(u, w)
	area := w.area.Intersect(image.Rectangle{Max: c.size})
	rects := c.pieces[:0]
	for _, p := range c.pending {
		rects = split(rects, p.Intersect(area))
	}
	c.pieces = rects
	if n == 0 && len(rects) == 0 {
		return false, nil
	}
	c.keep(area)
	if err := c.begin(w, head, n+len(rects)); err != nil {
		return true, err
	}
	for _, r := range rects {
		if _, err := c.out.Write(c.encode(f, r, w)); err != nil {
			return true, err
		}
	}
	return true, c.out.Flush()
}

// keep leaves pending what area does not cover.
func (k *canvas) keep(area image.Rectangle) {
	n := 0
	for _, p := range k.pending {
		if !p.In(area) {
			k.pending[n] = p
			n++
		}
	}
	k.pending = k.pending[:n]
}

// begin begins an update of n rectangles, of which head holds the first, and notes that the request is answered.
func (c *client) begin(w *work, head []byte, n int) error {
	c.answered(w)
	if _, err := c.out.Write([]byte{0, 0, byte(n >> 8), byte(n)}); err != nil {
		return err
	}
	_, err := c.out.Write(head)
	return err
}

// rectHeader appends the header of a rectangle.
func rectHeader(b []byte, r image.Rectangle, encoding int32) []byte {
	for _, v := range []int{r.Min.X, r.Min.Y, r.Dx(), r.Dy()} {
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	return binary.BigEndian.AppendUint32(b, uint32(encoding))
}

// sizeRect tells the viewer the size of its picture.
func (c *client) sizeRect(b []byte, w *work) []byte {
	if !w.caps.extendedSize {
		return rectHeader(b, image.Rectangle{Max: c.size}, encodingDesktopSize)
	}
	at := image.Pt(int(w.sizeReason), int(w.sizeStatus))
	b = rectHeader(b, image.Rectangle{Min: at, Max: at.Add(c.size)}, encodingExtendedSize)
	b = append(b, 1, 0, 0, 0) // one screen, with id 0, at 0,0, as large as the picture, without flags
	b = append(b, make([]byte, 8)...)
	b = binary.BigEndian.AppendUint16(b, uint16(c.size.X))
	b = binary.BigEndian.AppendUint16(b, uint16(c.size.Y))
	return append(b, 0, 0, 0, 0)
}

// extras are the rectangles without pixels of the screen, and how many they are.
func (c *client) extras(u *display.Update, w *work) (b []byte, n int) {
	if w.extendedKeys {
		b, n = rectHeader(b, image.Rectangle{}, encodingExtendedKeys), n+1
	}
	if w.leds && w.caps.ledState {
		b, n = append(rectHeader(b, image.Rectangle{}, encodingLEDState), ledBits(c.cfg.Machine.Input.LEDs())), n+1
	}
	cur := &u.Cursor
	if (w.caps.cursor || w.caps.alphaCursor) && (cur.Serial != c.cursor || cur.Visible != c.cursorShown) {
		c.cursor, c.cursorShown = cur.Serial, cur.Visible
		b, n = cursorRect(b, cur, w), n+1
	}
	return b, n
}
