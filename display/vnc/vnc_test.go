package vnc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// screen is a server with a source that draws.
func screen(t testing.TB, password string, width, height int) (*Server, *displaytest.Source) {
	t.Helper()
	surface := display.NewSurface()
	s := New(Config{Machine: frontend.Machine{Name: "vm", Surface: surface, Input: &input.Hub{}, Clipboard: &frontend.Clipboard{}}, Password: password})
	src := displaytest.New(t, surface, width, height)
	t.Cleanup(func() { s.Close() })
	return s, src
}

func connect(t testing.TB, s *Server) *viewer {
	t.Helper()
	v, err := dial(t, s, s.cfg.Password, "RFB 003.008\n")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// paint draws areas of few colours and of many.
func paint(src *displaytest.Source, r *rand.Rand, size image.Point) {
	for range 1 + r.IntN(6) {
		x, y := r.IntN(size.X), r.IntN(size.Y)
		a := image.Rect(x, y, x+1+r.IntN(size.X-x), y+1+r.IntN(size.Y-y))
		switch r.IntN(3) {
		case 0:
			src.Fill(a, r.Uint32()&0xffffff)
		case 1: // some colours
			for range 30 {
				p := image.Pt(a.Min.X+r.IntN(a.Dx()), a.Min.Y+r.IntN(a.Dy()))
				src.Fill(image.Rectangle{p, p.Add(image.Pt(9, 3))}, uint32(r.IntN(12))*0x151331)
			}
		default: // noise
			for range 2000 {
				p := image.Pt(a.Min.X+r.IntN(a.Dx()), a.Min.Y+r.IntN(a.Dy()))
				src.Fill(image.Rectangle{p, p.Add(image.Pt(2, 1))}, r.Uint32()&0xffffff)
			}
		}
	}
}

// compare fails unless the viewer's picture is the surface's, as its pixel format has it.
func compare(t *testing.T, s *Server, v *viewer) {
	t.Helper()
	img, err := s.cfg.Machine.Surface.Image()
	if err != nil {
		t.Fatal(err)
	}
	if img.Rect.Size() != v.size {
		t.Fatalf("the picture has %v, the viewer %v", img.Rect.Size(), v.size)
	}
	f := v.format
	for i, got := range v.pixels {
		p := img.Pix[4*i:]
		want := uint32(0)
		for k := range 3 {
			want = want<<8 | (uint32(p[k])*uint32(f.max[k])+127)/255*255/uint32(f.max[k])
		}
		if got != want {
			t.Fatalf("pixel (%d, %d) is %06x, want %06x", i%v.size.X, i/v.size.X, got, want)
		}
	}
}

// formats are what viewers ask for.
var formats = map[string]pixelFormat{
	"own":     ownFormat,
	"BGR":     {bytes: 4, depth: 24, max: [3]uint16{255, 255, 255}, shift: [3]uint8{0, 8, 16}},
	"big":     {bytes: 4, depth: 24, bigEndian: true, max: [3]uint16{255, 255, 255}, shift: [3]uint8{16, 8, 0}},
	"high":    {bytes: 4, depth: 24, max: [3]uint16{255, 255, 255}, shift: [3]uint8{24, 16, 8}},
	"bigHigh": {bytes: 4, depth: 24, bigEndian: true, max: [3]uint16{255, 255, 255}, shift: [3]uint8{8, 16, 24}},
	"565":     {bytes: 2, depth: 16, max: [3]uint16{31, 63, 31}, shift: [3]uint8{11, 5, 0}},
	"big565":  {bytes: 2, depth: 16, bigEndian: true, max: [3]uint16{31, 63, 31}, shift: [3]uint8{11, 5, 0}},
	"332":     {bytes: 1, depth: 8, max: [3]uint16{7, 7, 3}, shift: [3]uint8{0, 3, 6}},
}

// TestEncodings draws and compares, pixel by pixel, in every encoding and pixel format.
func TestEncodings(t *testing.T) {
	for _, encoding := range []int32{encodingRaw, encodingZRLE, encodingTight} {
		for name, format := range formats {
			r := rand.New(rand.NewPCG(uint64(encoding), 7))
			size := image.Pt(150+r.IntN(200), 70+r.IntN(130))
			s, src := screen(t, "", size.X, size.Y)
			v := connect(t, s)
			v.setFormat(format)
			v.setEncodings(99, encoding, encodingRaw)
			v.all()
			compare(t, s, v)
			for range 5 {
				paint(src, r, size)
				v.request(true, image.Rectangle{Max: size})
				v.update()
				compare(t, s, v)
			}
			if v.seen[encoding] == 0 || len(v.seen) != 1 {
				t.Errorf("%s: rectangles %v", name, v.seen)
			}
			v.conn.Close()
		}
	}
}

// TestLargePicture has more pixels than fit into a rectangle.
func TestLargePicture(t *testing.T) {
	for _, encoding := range []int32{encodingZRLE, encodingTight} {
		s, src := screen(t, "", 4100, 130)
		r := rand.New(rand.NewPCG(1, 2))
		paint(src, r, image.Pt(4100, 130))
		v := connect(t, s)
		v.setEncodings(encoding)
		v.all()
		compare(t, s, v)
		if v.seen[encoding] < 9 {
			t.Errorf("%d rectangles", v.seen[encoding])
		}
	}
}

// TestJPEG has a viewer get areas of many colours as JPEG, if it says that it knows that, and all others exactly.
func TestJPEG(t *testing.T) {
	s, src := screen(t, "", 200, 100)
	s.cfg.JPEG = 90
	for y := range 100 {
		for x := range 100 { // a gradient
			p := image.Pt(x, y)
			src.Fill(image.Rectangle{p, p.Add(image.Pt(1, 1))}, uint32(x)*2<<16|uint32(y)*2<<8|uint32(x+y))
		}
	}
	src.Fill(image.Rect(100, 0, 200, 100), 0x336699)
	exact := connect(t, s)
	exact.setEncodings(encodingTight)
	exact.all()
	if compare(t, s, exact); exact.photos != 0 {
		t.Error("a viewer that does not know JPEG gets some")
	}
	v := connect(t, s)
	v.setEncodings(encodingTight, encodingQualityLow+5)
	v.all()
	if v.photos == 0 {
		t.Error("no JPEG")
	}
	for i, got := range v.pixels {
		for shift := 0; shift < 24; shift += 8 {
			if d := int(got>>shift&0xff) - int(exact.pixels[i]>>shift&0xff); d > 24 || d < -24 {
				t.Fatalf("pixel (%d, %d) is %06x, want about %06x", i%200, i/200, got, exact.pixels[i])
			}
		}
	}
	v.request(true, image.Rectangle{Max: v.size})
	src.Fill(image.Rect(20, 20, 60, 60), 0xff0000)
	if v.photos = 0; v.update() == nil || v.photos != 0 || v.pixels[30*200+30] != 0xff0000 {
		t.Errorf("one colour: %d rectangles of JPEG, %06x", v.photos, v.pixels[30*200+30])
	}
}

// TestOnlyWhatChanged checks that updates come when asked for, and hold what changed and was asked for.
func TestOnlyWhatChanged(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		s, src := screen(t, "", 400, 300)
		src.Quiet = quiet
		v := connect(t, s)
		v.setEncodings(encodingTight)
		v.all()
		whole := image.Rectangle{Max: v.size}
		v.request(true, whole) // nothing to tell yet
		src.Fill(image.Rect(10, 10, 20, 20), 0xff0000)
		if got := v.update(); !slices.Equal(got, []image.Rectangle{image.Rect(10, 10, 20, 20)}) {
			t.Errorf("rectangles %v", got)
		}
		src.Fill(image.Rect(100, 100, 120, 120), 0xff00)
		src.Fill(image.Rect(300, 0, 310, 10), 0xff)
		v.request(true, image.Rect(0, 0, 110, 300)) // part of the one, nothing of the other
		if got := v.update(); !slices.Equal(got, []image.Rectangle{image.Rect(100, 100, 110, 120)}) && !quiet {
			t.Errorf("rectangles %v", got)
		}
		v.request(true, whole)
		v.update()
		compare(t, s, v)
		v.pixels[0] = 1
		v.request(false, image.Rect(0, 0, 5, 5)) // again, though nothing has changed
		v.update()
		compare(t, s, v)
	}
}

func TestResize(t *testing.T) {
	for _, e := range []int32{encodingDesktopSize, encodingExtendedSize, 0} {
		s, src := screen(t, "", 300, 200)
		v := connect(t, s)
		v.setEncodings(encodingZRLE, e)
		v.all()
		if e == encodingExtendedSize { // which the viewer learns of so
			v.all()
		}
		compare(t, s, v)
		src.Resize(t, 200, 250)
		src.Fill(image.Rect(0, 0, 100, 100), 0x123456)
		v.all()
		if e != 0 {
			v.all()
			compare(t, s, v)
			continue
		}
		if v.size != image.Pt(300, 200) || v.pixels[0] != 0x123456 || v.pixels[299] != 0 {
			t.Error("a viewer that knows no resizing sees something else than a part")
		}
	}
	s, src := screen(t, "", 300, 200)
	v := connect(t, s)
	v.setEncodings(encodingZRLE, encodingExtendedSize)
	v.all()
	v.write([]byte{msgSetDesktopSize, 0, 1, 0x90, 1, 0x2c, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x90, 1, 0x2c, 0, 0, 0, 0})
	v.request(true, image.Rectangle{Max: v.size})
	v.update()
	if v.status != image.Pt(reasonThisClient, statusForwarded) || v.size != image.Pt(300, 200) {
		t.Errorf("status %v, size %v", v.status, v.size)
	}
	if w := src.Wishes(); !slices.Equal(w, []image.Point{{400, 300}}) {
		t.Errorf("wishes %v", w)
	}
}

func TestScreenOff(t *testing.T) {
	surface := display.NewSurface()
	s := New(Config{Machine: frontend.Machine{Surface: surface, Input: &input.Hub{}}})
	defer s.Close()
	v := connect(t, s)
	v.setEncodings(encodingTight, encodingDesktopSize)
	if v.all(); v.size != sizeOff {
		t.Errorf("size %v", v.size)
	}
	v.request(true, image.Rectangle{Max: v.size})
	displaytest.New(t, surface, 200, 100).Fill(image.Rect(1, 1, 5, 5), 0xffffff)
	v.update()
	v.all()
	compare(t, s, v)
}

func TestCursor(t *testing.T) {
	s, _ := screen(t, "", 100, 100)
	surface := s.cfg.Machine.Surface
	for _, e := range []int32{encodingCursor, encodingAlphaCursor} {
		v := connect(t, s)
		v.setEncodings(encodingRaw, e)
		v.all()
		v.request(true, image.Rectangle{Max: v.size})
		surface.SetCursor(display.CursorImage{Width: 2, Height: 1, Hot: image.Pt(1, 0), Pixels: []byte{1, 2, 3, 255, 0, 0, 0, 0}})
		v.update()
		want := []byte{1, 2, 3, 0, 0, 0, 0, 0, 0x80}
		if e == encodingAlphaCursor {
			want = []byte{3, 2, 1, 255, 0, 0, 0, 0}
		}
		if !bytes.Equal(v.cursor, want) {
			t.Errorf("cursor % x, want % x", v.cursor, want)
		}
		v.request(true, image.Rectangle{Max: v.size})
		surface.SetCursor(display.CursorImage{})
		v.update()
		if len(v.cursor) != 0 {
			t.Errorf("a hidden cursor: % x", v.cursor)
		}
	}
}

// sink notes events.
type sink struct {
	events chan input.Event
}

func (s *sink) Ready() bool  { return true }
func (s *sink) Backlog() int { return 0 }
func (s *sink) Frame(events []input.Event) {
	for _, e := range events {
		s.events <- e
	}
}

func TestInput(t *testing.T) {
	s, _ := screen(t, "", 800, 600)
	k, p := &sink{events: make(chan input.Event, 100)}, &sink{events: make(chan input.Event, 100)}
	hub := s.cfg.Machine.Input
	hub.Attach(input.Keyboard, k)
	hub.Attach(input.Tablet, p)
	expect := func(from *sink, want ...input.Event) {
		t.Helper()
		for _, w := range want {
			select {
			case got := <-from.events:
				if got != w {
					t.Errorf("event %v, want %v", got, w)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("no event, want %v", w)
			}
		}
	}
	v := connect(t, s)
	v.setEncodings(encodingRaw, encodingLEDState, encodingExtendedKeys)
	hub.SetLEDs(input.LEDCaps)
	if v.all(); v.leds != 4 || v.seen[encodingExtendedKeys] != 1 {
		t.Errorf("LEDs %d, %v", v.leds, v.seen)
	}
	v.request(true, image.Rectangle{Max: v.size})
	hub.SetLEDs(input.LEDNum)
	if v.update(); v.leds != 2 {
		t.Errorf("LEDs %d", v.leds)
	}
	key := func(down byte, sym uint32) { v.write(binary.BigEndian.AppendUint32([]byte{msgKey, down, 0, 0}, sym)) }
	extended := func(down byte, sym, scan uint32) {
		v.write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{msgQEMU, 0, 0, down}, sym), scan))
	}
	key(1, 0xffe1)
	key(1, 'A')
	key(1, 'A')
	key(0, 'a')
	key(0, 0xffe1)
	key(1, 0x12345678)
	event := func(c input.Code, v int32) input.Event { return input.Event{Type: input.TypeKey, Code: c, Value: v} }
	expect(k, event(input.KeyLeftShift, 1), event(input.KeyA, 1), event(input.KeyA, 0), event(input.KeyLeftShift, 0))
	extended(1, 'q', 0x1e)
	extended(0, 'q', 0x1e)
	extended(1, 0, 0x9d)
	extended(0, 0, 0xe01d)
	extended(1, 'z', 0xffffffff)
	extended(0, 'z', 0)
	expect(k, event(input.KeyA, 1), event(input.KeyA, 0), event(input.KeyRightCtrl, 1), event(input.KeyRightCtrl, 0), event(input.KeyZ, 1), event(input.KeyZ, 0))
	v.write([]byte{msgPointer, 1, 1, 0x90, 1, 0x2c})
	v.write([]byte{msgPointer, 8 | 4, 0, 0, 0, 0})
	expect(p, input.Event{Type: input.TypeAbs, Code: 0, Value: 16404}, input.Event{Type: input.TypeAbs, Code: 1, Value: 16411}, event(input.ButtonLeft, 1),
		input.Event{Type: input.TypeAbs, Code: 0, Value: 20}, input.Event{Type: input.TypeAbs, Code: 1, Value: 27}, event(input.ButtonLeft, 0),
		event(input.ButtonRight, 1), input.Event{Type: input.TypeRel, Code: input.RelWheel, Value: 1})
	key(1, 0xffe3)
	expect(k, event(input.KeyLeftCtrl, 1))
	v.conn.Close() // what is held is let go
	expect(k, event(input.KeyLeftCtrl, 0))
	expect(p, event(input.ButtonRight, 0))
}

func TestClipboard(t *testing.T) {
	s, _ := screen(t, "", 20, 20)
	text := make(chan string, 1)
	guest := s.cfg.Machine.Clipboard.Join(func(s string) { text <- s })
	v := connect(t, s)
	v.setEncodings(encodingRaw)
	v.all()
	v.write(append([]byte{msgCutText, 0, 0, 0, 0, 0, 0, 3}, 'a', 0xe4, '\n'))
	if got := <-text; got != "aä\n" {
		t.Errorf("%q", got)
	}
	guest.Set("ü€")
	v.write([]byte{msgCutText, 0, 0, 0, 0, 0, 0, 1, 'x'})
	<-text
	v.all()
	for v.cut == "" {
		v.all()
	}
	if v.cut != "\xfc?" {
		t.Errorf("%q", v.cut)
	}
}

func TestPassword(t *testing.T) {
	s, _ := screen(t, "secret12345", 20, 20)
	open, _ := screen(t, "", 20, 20)
	for _, version := range []string{"RFB 003.003\n", "RFB 003.007\n", "RFB 003.008\n"} {
		t.Run(strings.TrimSpace(version), func(t *testing.T) {
			t.Parallel()                              // a wrong password costs a second
			v, err := dial(t, s, "secret12", version) // only 8 bytes count
			if err != nil {
				t.Fatal(err)
			}
			v.all()
			compare(t, s, v)
			if _, err := dial(t, s, "wrong", version); err == nil || err.Error() != errPassword.Error() {
				t.Errorf("%v", err)
			}
			if v, err = dial(t, open, "", version); err != nil {
				t.Fatal(err)
			}
			v.all()
		})
	}
}

func TestListen(t *testing.T) {
	open, _ := screen(t, "", 20, 20)
	for _, at := range []string{"0.0.0.0:0", "192.0.2.1:0", "[::]:0"} {
		if _, err := open.Listen(netip.MustParseAddrPort(at)); !errors.Is(err, ErrOpen) {
			t.Errorf("%s without a password: %v", at, err)
		}
	}
	at, err := open.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	greeted := func() bool {
		conn, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		n, _ := conn.Read(make([]byte, 12))
		return n == 12
	}
	for i := range maxClients + 1 {
		if got := greeted(); got != (i < maxClients) {
			t.Errorf("viewer %d: greeted %v", i, got)
		}
	}
	conns[0].Close()
	for !greeted() {
	}
	open.Close()
	for _, c := range conns {
		c.Close()
	}
	if _, err := net.Dial("tcp", at.String()); err == nil {
		t.Error("a closed server listens")
	}
}

// TestHostile sends what makes no sense: the server hangs up.
func TestHostile(t *testing.T) {
	for name, b := range map[string][]byte{
		"unknown message":  {77},
		"colour map":       append([]byte{0, 0, 0, 0}, make([]byte, 16)...),
		"many encodings":   {2, 0, 0xff, 0xff},
		"huge clipboard":   {6, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff},
		"odd clipboard":    {6, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
		"many screens":     {251, 0, 1, 0, 1, 0, 255, 0},
		"screen of zero":   {251, 0, 0, 0, 1, 0, 0, 0},
		"QEMU's audio":     {255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"a colour too big": append([]byte{0, 0, 0, 0}, pixelFormat{bytes: 1, max: [3]uint16{0x1ff, 255, 255}}.encode()...),
	} {
		s, _ := screen(t, "", 20, 20)
		v := connect(t, s)
		v.conn.SetWriteDeadline(time.Now().Add(time.Second))
		v.conn.Write(b)
		if _, err := v.conn.Read(make([]byte, 1)); err == nil || errors.As(err, new(net.Error)) && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
