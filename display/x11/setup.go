package x11

import (
	"encoding/binary"
	"errors"
	"image"
	"net"
	"os"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/render"
	"github.com/jezek/xgb/shm"
	"github.com/jezek/xgb/xproto"
)

// server is what is known of the X server, and the names of what we have there.
type server struct {
	root     xproto.Window
	rootSize image.Point
	visual   xproto.Visualid
	request  int // bytes of the longest request

	id    xproto.Window
	gc    xproto.Gcontext
	blank xproto.Cursor
	argb  render.Pictformat // 0 where the server has no RENDER
	// shmOpcode is that of MIT-SHM where memory can be shared by an open file; 0 otherwise.
	shmOpcode byte
	atom      atoms
}

type atoms struct {
	protocols, deleteWindow, netName, utf8, state, fullScreen, clipboard, targets, text, incoming, incr xproto.Atom
}

const (
	depth         = 24
	pointerEvents = xproto.EventMaskButtonPress | xproto.EventMaskButtonRelease | xproto.EventMaskPointerMotion
	windowEvents  = pointerEvents | xproto.EventMaskKeyPress | xproto.EventMaskKeyRelease | xproto.EventMaskExposure | xproto.EventMaskStructureNotify | xproto.EventMaskFocusChange | xproto.EventMaskPropertyChange
)

// sizeOff is the size of a window for a screen that is off.
var sizeOff = image.Pt(720, 400)

func displayName(s string) string {
	if s == "" {
		return os.Getenv("DISPLAY")
	}
	return s
}

// open makes the window.
func open(conn net.Conn, a address, c Config) (*Window, error) {
	w := &Window{
		cfg: c, wire: &wire{Conn: conn, hello: a.hello(), gone: make(chan struct{})}, ended: make(chan struct{}), kick: make(chan struct{}, 1), jobs: make(chan func(), maxJobs),
		full: c.FullScreen,
	}
	w.source = c.Machine.Input.NewSource()
	return w, w.wire.within(func() (err error) {
		if w.x, err = xgb.NewConnNet(w.wire); err != nil {
			return err
		}
		w.listen()
		if err := w.chooseVisual(a.screen); err != nil {
			return err
		}
		if err := w.internAtoms(); err != nil {
			return err
		}
		if err := w.findExtensions(a.network); err != nil {
			return err
		}
		return w.createWindow()
	})
}

var errVisual = errors.New("this X server's screen has no 24-bit colours as little-endian words of 32 bits")

// chooseVisual finds the screen, and on it how pixels have to look.
func (w *Window) chooseVisual(screen int) error {
	setup := xproto.Setup(w.x)
	if screen >= len(setup.Roots) {
		return errors.New("the X server has no such screen")
	}
	root := &setup.Roots[screen]
	w.root, w.rootSize = root.Root, image.Pt(int(root.WidthInPixels), int(root.HeightInPixels))
	w.request = 4 * int(setup.MaximumRequestLength)
	fits := false
	for _, f := range setup.PixmapFormats {
		fits = fits || f.Depth == depth && f.BitsPerPixel == 32 && f.ScanlinePad == 32
	}
	if !fits || setup.ImageByteOrder != xproto.ImageOrderLSBFirst || w.request < 4096 {
		return errVisual
	}
	for _, d := range root.AllowedDepths {
		for _, v := range d.Visuals {
			if d.Depth == depth && v.Class == xproto.VisualClassTrueColor && v.RedMask == 0xff0000 && v.GreenMask == 0xff00 && v.BlueMask == 0xff && (w.visual == 0 || v.VisualId == root.RootVisual) {
				w.visual = v.VisualId
			}
		}
	}
	if w.visual == 0 {
		return errVisual
	}
	return nil
}

func (w *Window) internAtoms() error {
	type asked struct {
		to     *xproto.Atom
		cookie xproto.InternAtomCookie
	}
	var all []asked
	for _, x := range []struct {
		name string
		to   *xproto.Atom
	}{
		{"WM_PROTOCOLS", &w.atom.protocols}, {"WM_DELETE_WINDOW", &w.atom.deleteWindow}, {"_NET_WM_NAME", &w.atom.netName}, {"UTF8_STRING", &w.atom.utf8},
		{"_NET_WM_STATE", &w.atom.state}, {"_NET_WM_STATE_FULLSCREEN", &w.atom.fullScreen}, {"CLIPBOARD", &w.atom.clipboard}, {"TARGETS", &w.atom.targets},
		{"TEXT", &w.atom.text}, {"VMM_SELECTION", &w.atom.incoming}, {"INCR", &w.atom.incr},
	} {
		all = append(all, asked{x.to, xproto.InternAtom(w.x, false, uint16(len(x.name)), x.name)})
	}
	for _, a := range all {
		reply, err := a.cookie.Reply()
		if err != nil {
			return err
		}
		*a.to = reply.Atom
	}
	return nil
}

// findExtensions looks for MIT-SHM, RENDER and XKB. A server may lack them.
func (w *Window) findExtensions(network string) error {
	if network == "unix" && shm.Init(w.x) == nil {
		v, err := shm.QueryVersion(w.x).Reply()
		if err == nil && (v.MajorVersion > 1 || v.MajorVersion == 1 && v.MinorVersion >= 2) {
			w.shmOpcode = w.x.Extensions["MIT-SHM"]
		}
	}
	if render.Init(w.x) == nil {
		if _, err := render.QueryVersion(w.x, 0, 11).Reply(); err == nil {
			b, err := render.QueryPictFormats(w.x).Cookie.Reply()
			if err != nil {
				return err
			}
			w.argb = findARGB(b)
		}
	}
	return w.detectRepeats()
}

// findARGB looks in the answer to QueryPictFormats for pixels of 8 bits of alpha, red, green and blue each; 0 stands for none.
func findARGB(b []byte) render.Pictformat {
	const (
		first, length = 32, 28
		direct        = 1
	)
	if len(b) < first {
		return 0
	}
	n := binary.LittleEndian.Uint32(b[8:])
	for f := b[first:]; n > 0 && len(f) >= length; n, f = n-1, f[length:] {
		// Type and depth, then shift and mask of red, green, blue and alpha.
		want := [...]byte{direct, 32, 0, 0, 16, 0, 0xff, 0, 8, 0, 0xff, 0, 0, 0, 0xff, 0, 24, 0, 0xff, 0}
		if got := [len(want)]byte(f[4:24]); got[0] == want[0] && got[1] == want[1] && [16]byte(got[4:]) == [16]byte(want[4:]) {
			return render.Pictformat(binary.LittleEndian.Uint32(f))
		}
	}
	return 0
}

// detectRepeats asks the server to repeat presses of a key that is held without releases in between (XKB protocol, section 4.1.2).
func (w *Window) detectRepeats() error {
	const name = "XKEYBOARD"
	ext, err := xproto.QueryExtension(w.x, uint16(len(name)), name).Reply()
	if err != nil || !ext.Present {
		return err
	}
	useExtension := []byte{ext.MajorOpcode, 0, 2, 0, 1, 0, 0, 0}
	perClientFlags := make([]byte, 28)
	copy(perClientFlags, []byte{
		ext.MajorOpcode, 21, 7, 0,
		0, 1, 0, 0, // the core keyboard
		1, 0, 0, 0, // change DetectableAutoRepeat
		1, 0, 0, 0, // to on
	})
	for _, b := range [][]byte{useExtension, perClientFlags} {
		cookie := w.x.NewCookie(true, true)
		w.x.NewRequest(b, cookie)
		if _, err := cookie.Reply(); err != nil {
			return err
		}
	}
	return nil
}

// createWindow makes the window and maps it.
func (w *Window) createWindow() error {
	ids := make([]uint32, 5)
	for i := range ids {
		var err error
		if ids[i], err = w.x.NewId(); err != nil {
			return err
		}
	}
	w.id, w.gc, w.blank = xproto.Window(ids[0]), xproto.Gcontext(ids[1]), xproto.Cursor(ids[2])
	colours, dot := xproto.Colormap(ids[3]), xproto.Pixmap(ids[4])
	size := w.cfg.Machine.Surface.Size()
	if size.X == 0 || size.Y == 0 {
		size = sizeOff
	}
	if w.full {
		size = w.rootSize
		w.news.resized = time.Now()
	}
	w.news.size = size
	xproto.CreateColormap(w.x, xproto.ColormapAllocNone, colours, w.root, w.visual)
	xproto.CreateWindow(w.x, depth, w.id, w.root, 0, 0, uint16(size.X), uint16(size.Y), 0, xproto.WindowClassInputOutput, w.visual,
		xproto.CwBackPixel|xproto.CwBorderPixel|xproto.CwEventMask|xproto.CwColormap, []uint32{0, 0, windowEvents, uint32(colours)})
	xproto.CreateGC(w.x, w.gc, xproto.Drawable(w.id), xproto.GcGraphicsExposures, []uint32{0})

	xproto.CreatePixmap(w.x, 1, dot, xproto.Drawable(w.id), 1, 1)
	w.clearDot(dot)
	xproto.CreateCursor(w.x, w.blank, dot, dot, 0, 0, 0, 0, 0, 0, 0, 0)
	xproto.FreePixmap(w.x, dot)

	title := w.cfg.Machine.Name + " - Ctrl+Alt releases keyboard and mouse"
	w.setText(xproto.AtomWmName, xproto.AtomString, title)
	w.setText(w.atom.netName, w.atom.utf8, title)
	w.setText(xproto.AtomWmClass, xproto.AtomString, "vmm\x00vmm\x00")
	w.setWords(w.atom.protocols, xproto.AtomAtom, uint32(w.atom.deleteWindow))
	w.setWords(xproto.AtomWmHints, xproto.AtomWmHints, 1, 1, 0, 0, 0, 0, 0, 0, 0) // takes keys
	if w.full {
		w.setWords(w.atom.state, xproto.AtomAtom, uint32(w.atom.fullScreen))
	}
	w.live.Store(true)
	return xproto.MapWindowChecked(w.x, w.id).Check()
}

// clearDot makes a bitmap of one pixel empty, whose contents are undefined at first.
func (w *Window) clearDot(dot xproto.Pixmap) {
	id, err := w.x.NewId()
	if err != nil {
		return
	}
	gc := xproto.Gcontext(id)
	xproto.CreateGC(w.x, gc, xproto.Drawable(dot), xproto.GcForeground, []uint32{0})
	xproto.PolyFillRectangle(w.x, xproto.Drawable(dot), gc, []xproto.Rectangle{{Width: 1, Height: 1}})
	xproto.FreeGC(w.x, gc)
}

func (w *Window) setText(property, kind xproto.Atom, text string) {
	xproto.ChangeProperty(w.x, xproto.PropModeReplace, w.id, property, kind, 8, uint32(len(text)), []byte(text))
}

func (w *Window) setWords(property, kind xproto.Atom, words ...uint32) {
	var b []byte
	for _, v := range words {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	xproto.ChangeProperty(w.x, xproto.PropModeReplace, w.id, property, kind, 32, uint32(len(words)), b)
}

// setFullScreen asks the window manager (EWMH, _NET_WM_STATE).
func (w *Window) setFullScreen(on bool) {
	what := uint32(0)
	if on {
		what = 1
	}
	e := xproto.ClientMessageEvent{Format: 32, Window: w.id, Type: w.atom.state, Data: xproto.ClientMessageDataUnionData32New([]uint32{what, uint32(w.atom.fullScreen), 0, 1, 0})}
	xproto.SendEvent(w.x, false, w.root, xproto.EventMaskSubstructureNotify|xproto.EventMaskSubstructureRedirect, string(e.Bytes()))
}
