package x11

import (
	"context"
	"image"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/internal/desktop"
)

// desk is an X server with a window in it.
type desk struct {
	*testing.T
	display  string
	surface  *display.Surface
	source   *displaytest.Source
	hub      input.Hub
	keyboard taker
	pointer  taker
	clip     frontend.Clipboard
	window   *Window
	closed   chan struct{}
	other    *xgb.Conn // another client
}

func newDesk(t *testing.T, pointer input.Class, change func(*Config), options ...string) *desk {
	d := &desk{T: t, display: desktop.XServer(t, "800x600", options...), surface: display.NewSurface(), closed: make(chan struct{}, 8)}
	d.source = displaytest.New(t, d.surface, 320, 200)
	d.hub.Attach(input.Keyboard, &d.keyboard)
	d.hub.Attach(pointer, &d.pointer)
	c := Config{
		Machine: frontend.Machine{Name: "vm", Surface: d.surface, Input: &d.hub, Clipboard: &d.clip}, Display: d.display,
		Closed: func() { d.closed <- struct{}{} },
	}
	if change != nil {
		change(&c)
	}
	w, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	d.window = w
	t.Cleanup(func() { w.Close() })
	if d.other, err = xgb.NewConnDisplay(d.display); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.other.Close)
	return d
}

// eventually waits until f holds.
func (d *desk) eventually(what string, f func() bool) {
	d.Helper()
	for limit := time.Now().Add(10 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			d.Fatalf("in vain: %s", what)
		}
	}
}

// awaitOwner waits until another client than the window owns the clipboard: xclip takes it some time after it has gone to the background.
func (d *desk) awaitOwner() {
	d.Helper()
	clipboard, err := xproto.InternAtom(d.other, true, 9, "CLIPBOARD").Reply()
	if err != nil {
		d.Fatal(err)
	}
	d.eventually("another owner", func() bool {
		r, err := xproto.GetSelectionOwner(d.other, clipboard.Atom).Reply()
		return err == nil && r.Owner != d.window.id && r.Owner != 0
	})
}

func (d *desk) xdotool(args ...string) {
	d.Helper()
	path, err := exec.LookPath("xdotool")
	if err != nil {
		d.Skip("xdotool is not installed")
	}
	ctx, cancel := context.WithTimeout(d.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "DISPLAY="+d.display)
	if err := cmd.Run(); err != nil {
		d.Fatalf("xdotool %v: %v", args, err)
	}
}

// pixels are those of the window, B, G, R and nothing.
func (d *desk) pixels(width, height int) []byte {
	r, err := xproto.GetImage(d.other, xproto.ImageFormatZPixmap, xproto.Drawable(d.window.id), 0, 0, uint16(width), uint16(height), ^uint32(0)).Reply()
	if err != nil {
		return nil
	}
	return r.Data
}

// shows says whether the window shows the surface, and nothing around it.
func (d *desk) shows() bool {
	size := d.size()
	got := d.pixels(size.X, size.Y)
	if got == nil {
		return false
	}
	img, err := d.surface.Image()
	if err != nil {
		d.Fatal(err)
	}
	at := size.Sub(img.Rect.Max).Div(2)
	at.X, at.Y = max(at.X, 0), max(at.Y, 0)
	for y := range size.Y {
		for x := range size.X {
			want := img.RGBAAt(x-at.X, y-at.Y) // black beside it
			p := got[4*(y*size.X+x):]
			if p[0] != want.B || p[1] != want.G || p[2] != want.R {
				return false
			}
		}
	}
	return true
}

func (d *desk) size() image.Point {
	g, err := xproto.GetGeometry(d.other, xproto.Drawable(d.window.id)).Reply()
	if err != nil {
		d.Fatal(err)
	}
	return image.Pt(int(g.Width), int(g.Height))
}

func (d *desk) paint() {
	d.source.Fill(image.Rect(0, 0, 2000, 2000), 0x123456)
	d.source.Fill(image.Rect(10, 20, 100, 120), 0xff8001)
	d.source.Fill(image.Rect(319, 199, 320, 200), 0x00ff00)
}

func TestPictureAndSize(t *testing.T) {
	for name, options := range map[string][]string{"shared": nil, "copied": {"-extension", "MIT-SHM"}} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, input.Tablet, nil, options...)
			d.paint()
			d.eventually("the picture", d.shows)
			if shared := d.window.shmOpcode != 0; shared != (options == nil) {
				t.Errorf("memory is shared: %v", shared)
			}
			d.source.Fill(image.Rect(50, 60, 70, 61), 0x777777)
			d.eventually("a change", d.shows)
			d.source.Resize(t, 500, 400) // by the guest
			d.paint()
			d.eventually("the window to follow", func() bool { return d.size() == image.Pt(500, 400) })
			d.eventually("the larger picture", d.shows)
			d.xdotool("windowsize", strconv.Itoa(int(d.window.id)), "640", "480") // by the user
			d.eventually("the wish", func() bool {
				all := d.source.Wishes()
				return len(all) == 1 && all[0] == image.Pt(640, 480)
			})
			d.eventually("the picture in the middle", d.shows)
			d.source.Resize(t, 640, 480) // the guest obeys
			d.paint()
			d.eventually("the picture that was asked for", d.shows)
			if n := len(d.source.Wishes()); n != 1 {
				t.Errorf("%d wishes", n)
			}
		})
	}
}

func TestTyping(t *testing.T) {
	d := newDesk(t, input.Tablet, nil)
	d.paint()
	d.eventually("the picture", d.shows)
	d.xdotool("mousemove", "100", "50", "click", "1")
	want := []input.Event{{Type: input.TypeKey, Code: input.ButtonLeft, Value: 1}, {Type: input.TypeKey, Code: input.ButtonLeft}}
	var got []input.Event
	d.eventually("the click", func() bool { got = append(got, d.pointer.take()...); return len(got) >= 4 })
	if n := len(got); got[n-2] != want[0] || got[n-1] != want[1] {
		t.Errorf("clicked %v", got)
	}
	x, y := -1, -1
	for _, e := range got {
		if e.Type == input.TypeAbs && e.Code == input.AbsX {
			x = int(e.Value) * 320 / (input.AbsMax + 1)
		} else if e.Type == input.TypeAbs {
			y = int(e.Value) * 200 / (input.AbsMax + 1)
		}
	}
	if x != 100 || y != 50 {
		t.Errorf("pointed at %d,%d, want 100,50", x, y)
	}
	d.xdotool("click", "4", "click", "5")
	got = nil
	d.eventually("the wheel", func() bool {
		for _, e := range d.pointer.take() {
			if e.Type == input.TypeRel {
				got = append(got, e)
			}
		}
		return len(got) == 2
	})
	if got[0].Value != 1 || got[1].Value != -1 {
		t.Errorf("turned %v", got)
	}
	d.keyboard.take()
	d.xdotool("key", "--delay", "1", "a", "F4", "Return", "Right", "KP_Enter", "Delete", "bracketleft")
	sent := ""
	d.eventually("the keys", func() bool {
		sent = strings.TrimSpace(sent + " " + d.keyboard.keys())
		return strings.HasSuffix(sent, "-leftbrace")
	})
	if sent != "+a -a +f4 -f4 +enter -enter +right -right +kpenter -kpenter +delete -delete +leftbrace -leftbrace" {
		t.Errorf("typed %q", sent)
	}
}

// TestRepeatsAndFocus holds keys down: the guest sees one press, and a release when the focus goes.
func TestRepeatsAndFocus(t *testing.T) {
	d := newDesk(t, input.Tablet, nil)
	d.paint()
	d.eventually("the picture", d.shows)
	xproto.SetInputFocus(d.other, xproto.InputFocusNone, d.window.id, xproto.TimeCurrentTime)
	d.xdotool("mousemove", "100", "50", "keydown", "x")
	repeated := 0
	d.eventually("auto-repeat", func() bool { repeated++; return repeated > 200 })
	d.xdotool("keyup", "x", "keydown", "shift", "keydown", "b")
	sent := ""
	d.eventually("both keys", func() bool {
		sent = strings.TrimSpace(sent + " " + d.keyboard.keys())
		return strings.HasSuffix(sent, "+b")
	})
	if sent != "+x -x +leftshift +b" {
		t.Errorf("held %q", sent)
	}
	xproto.SetInputFocus(d.other, xproto.InputFocusNone, xproto.WindowNone, xproto.TimeCurrentTime)
	held := map[string]bool{}
	d.eventually("the release of both", func() bool {
		for _, k := range strings.Fields(d.keyboard.keys()) {
			held[k] = true
		}
		return held["-leftshift"] && held["-b"]
	})
}

// TestGrab takes the pointer of a guest that has but a mouse, moves it beyond the window's edge, and lets go.
func TestGrab(t *testing.T) {
	d := newDesk(t, input.Mouse, nil)
	d.paint()
	d.eventually("the picture", d.shows)
	d.xdotool("mousemove", "100", "50", "click", "1")
	grabbed := func() bool {
		r, err := xproto.GrabPointer(d.other, false, d.window.root, 0, xproto.GrabModeAsync, xproto.GrabModeAsync, 0, 0, 0).Reply()
		if err != nil {
			t.Fatal(err)
		}
		if r.Status == xproto.GrabStatusSuccess {
			xproto.UngrabPointer(d.other, 0)
		}
		return r.Status == xproto.GrabStatusAlreadyGrabbed
	}
	d.eventually("the grab", grabbed)
	d.pointer.take()
	const steps, by = 60, 20
	total := 0
	for range steps {
		d.xdotool("mousemove_relative", strconv.Itoa(by), "0")
	}
	d.eventually("motion that no window would hold", func() bool {
		for _, e := range d.pointer.take() {
			if e.Type == input.TypeRel && e.Code == input.RelX {
				total += int(e.Value)
			}
		}
		return total > 320
	})
	d.xdotool("keydown", "ctrl", "keydown", "alt", "keyup", "alt", "keyup", "ctrl")
	d.eventually("the end of the grab", func() bool { return !grabbed() })
}

func TestClipboard(t *testing.T) {
	d := newDesk(t, input.Tablet, nil)
	d.paint()
	d.eventually("the picture", d.shows)
	told := make(chan string, 4)
	guest := d.clip.Join(func(s string) { told <- s })
	defer guest.Leave()
	guest.Set("from the guest: ü")
	d.eventually("the guest's text", func() bool {
		cmd := exec.Command("xclip", "-o", "-selection", "clipboard", "-t", "UTF8_STRING")
		cmd.Env = append(os.Environ(), "DISPLAY="+d.display)
		out, err := cmd.Output()
		if _, missing := err.(*exec.Error); missing {
			t.Skip("xclip is not installed")
		}
		return string(out) == "from the guest: ü"
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	owner := exec.CommandContext(ctx, "xclip", "-quiet", "-i", "-selection", "clipboard") // stays
	owner.Env = append(os.Environ(), "DISPLAY="+d.display)
	owner.Stdin = strings.NewReader("from the host: ß")
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	defer owner.Wait()
	defer cancel()
	d.awaitOwner()
	xproto.SetInputFocus(d.other, xproto.InputFocusNone, d.window.id, xproto.TimeCurrentTime)
	select {
	case s := <-told:
		if s != "from the host: ß" {
			t.Errorf("%q", s)
		}
	case <-time.After(10 * time.Second):
		t.Error("the host's text did not arrive")
	}
}

// TestLongTexts hands over texts that do not fit into a request, each way.
func TestLongTexts(t *testing.T) {
	if _, err := exec.LookPath("xclip"); err != nil {
		t.Skip(err)
	}
	d := newDesk(t, input.Tablet, nil)
	d.paint()
	d.eventually("the picture", d.shows)
	told := make(chan string, 4)
	guest := d.clip.Join(func(s string) { told <- s })
	defer guest.Leave()
	long := strings.Repeat("länger ", frontend.MaxClipboard/9)
	guest.Set(long)
	xclip := func(args ...string) *exec.Cmd {
		cmd := exec.Command("xclip", append([]string{"-selection", "clipboard", "-t", "UTF8_STRING"}, args...)...)
		cmd.Env = append(os.Environ(), "DISPLAY="+d.display)
		return cmd
	}
	for range 2 { // again, when the first one is through
		d.eventually("the guest's text", func() bool {
			out, _ := xclip("-o").Output()
			return string(out) == long
		})
	}
	set := xclip("-i")
	set.Stdin = strings.NewReader(long + "!")
	if err := set.Run(); err != nil { // a child of it stays
		t.Fatal(err)
	}
	d.awaitOwner()
	xproto.SetInputFocus(d.other, xproto.InputFocusNone, d.window.id, xproto.TimeCurrentTime)
	select {
	case s := <-told:
		if s != long+"!" {
			t.Errorf("%d bytes, want %d", len(s), len(long)+1)
		}
	case <-time.After(10 * time.Second):
		t.Error("the host's text did not arrive")
	}
}

// TestCursor gives the window the guest's cursor, asked for at the server.
func TestCursor(t *testing.T) {
	d := newDesk(t, input.Tablet, nil)
	d.paint()
	d.eventually("the picture", d.shows)
	px := make([]byte, 4*16*16)
	for i := range px {
		px[i] = 0xff
	}
	d.surface.SetCursor(display.CursorImage{Width: 16, Height: 16, Hot: image.Pt(3, 4), Pixels: px})
	d.xdotool("mousemove", "100", "50")
	d.eventually("the cursor", func() bool { w, h, x, y := d.cursor(); return w == 16 && h == 16 && x == 3 && y == 4 })
	d.surface.SetCursor(display.CursorImage{})
	d.eventually("no cursor", func() bool { w, h, _, _ := d.cursor(); return w == 1 && h == 1 })
}

// cursor asks XFIXES what the pointer looks like.
func (d *desk) cursor() (width, height, hotX, hotY int) {
	const name = "XFIXES"
	ext, err := xproto.QueryExtension(d.other, uint16(len(name)), name).Reply()
	if err != nil || !ext.Present {
		d.Fatal(err)
	}
	for _, b := range [][]byte{{ext.MajorOpcode, 0, 3, 0, 5, 0, 0, 0, 0, 0, 0, 0}, {ext.MajorOpcode, 4, 1, 0}} {
		cookie := d.other.NewCookie(true, true)
		d.other.NewRequest(b, cookie)
		r, err := cookie.Reply()
		if err != nil {
			d.Fatal(err)
		}
		width, height = int(xgb.Get16(r[12:])), int(xgb.Get16(r[14:]))
		hotX, hotY = int(xgb.Get16(r[16:])), int(xgb.Get16(r[18:]))
	}
	return width, height, hotX, hotY
}

func TestFullScreenAndClose(t *testing.T) {
	d := newDesk(t, input.Tablet, func(c *Config) { c.FullScreen = true })
	d.paint()
	if s := d.size(); s != image.Pt(800, 600) {
		t.Errorf("the window has %v", s)
	}
	d.eventually("the wish for all of the screen", func() bool {
		all := d.source.Wishes()
		return len(all) == 1 && all[0] == image.Pt(800, 600)
	})
	d.eventually("the picture in the middle", d.shows)
	e := xproto.ClientMessageEvent{Format: 32, Window: d.window.id, Type: d.window.atom.protocols, Data: xproto.ClientMessageDataUnionData32New([]uint32{uint32(d.window.atom.deleteWindow), 0, 0, 0, 0})}
	xproto.SendEvent(d.other, false, d.window.id, 0, string(e.Bytes()))
	select {
	case <-d.closed:
	case <-time.After(10 * time.Second):
		t.Error("nobody was told that the window was closed")
	}
	if err := d.window.Close(); err != nil {
		t.Error(err)
	}
	if d.source.IsWatched() {
		t.Error("the surface is still looked at")
	}
}
