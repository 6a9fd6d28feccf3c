package x11

import (
	"image"

	"github.com/jezek/xgb/render"
	"github.com/jezek/xgb/xproto"

	"github.com/sharevm/vmm/display"
)

// showCursor gives the window the guest's cursor, none where the guest draws its own, and the server's where the guest does not follow the pointer.
func (w *Window) showCursor(c *display.Cursor, hidden bool) {
	want := w.blank
	switch {
	case !hidden && w.relative():
		want = xproto.CursorNone
	case !hidden && c.Visible:
		if c.Serial != w.cursorSerial {
			w.cursorSerial = c.Serial
			w.makeCursor(&c.CursorImage)
		}
		want = w.made
	}
	if want == w.cursor {
		return
	}
	w.cursor = want
	xproto.ChangeWindowAttributes(w.x, w.id, xproto.CwCursor, []uint32{uint32(want)})
}

// makeCursor makes a cursor of the guest's. Without RENDER it is the server's arrow.
func (w *Window) makeCursor(c *display.CursorImage) {
	old := w.made
	w.made = xproto.CursorNone
	if w.argb != 0 {
		w.made = w.drawCursor(c)
	}
	if old != xproto.CursorNone {
		xproto.FreeCursor(w.x, old) // the window keeps it until it gets another
	}
}

func (w *Window) drawCursor(c *display.CursorImage) xproto.Cursor {
	var ids [4]uint32
	for i := range ids {
		var err error
		if ids[i], err = w.x.NewId(); err != nil {
			return xproto.CursorNone
		}
	}
	pixmap, gc, picture, cursor := xproto.Pixmap(ids[0]), xproto.Gcontext(ids[1]), render.Picture(ids[2]), xproto.Cursor(ids[3])
	on := xproto.Drawable(pixmap)
	xproto.CreatePixmap(w.x, 32, pixmap, xproto.Drawable(w.root), uint16(c.Width), uint16(c.Height))
	xproto.CreateGC(w.x, gc, on, 0, nil)
	w.send(on, gc, 32, image.Rect(0, 0, c.Width, c.Height), image.Point{}, c.Pixels, 4*c.Width)
	render.CreatePicture(w.x, picture, on, w.argb, 0, nil)
	hot := image.Pt(min(max(c.Hot.X, 0), c.Width-1), min(max(c.Hot.Y, 0), c.Height-1))
	render.CreateCursor(w.x, cursor, picture, uint16(hot.X), uint16(hot.Y))
	render.FreePicture(w.x, picture)
	xproto.FreeGC(w.x, gc)
	xproto.FreePixmap(w.x, pixmap)
	return cursor
}
