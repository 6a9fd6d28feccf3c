package session

import (
	"image"
	"slices"
	"testing"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/session/link/linktest"
)

// open opens the overview with the keyboard.
func (r *rig) open(t testing.TB) {
	t.Helper()
	r.keys.Key(input.KeyLeftCtrl, true)
	r.keys.Key(input.KeyLeftAlt, true)
	r.tap(input.KeyUp)
	r.keys.Key(input.KeyLeftAlt, false)
	r.keys.Key(input.KeyLeftCtrl, false)
	if !r.isOpen() {
		t.Fatal("there is no overview")
	}
}

func (r *rig) isOpen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.overview != nil
}

// pixel is what the screen shows at a place, 0 outside.
func (r *rig) pixel(at image.Point) uint32 {
	return pixelOf(r.viewer.Update(), at)
}

// near says whether two colours are the same but for rounding.
func near(a, b uint32) bool {
	for shift := 0; shift < 24; shift += 8 {
		if d := int(a>>shift&0xff) - int(b>>shift&0xff); d < -1 || d > 1 {
			return false
		}
	}
	return true
}

var rigSize = image.Pt(640, 480)

// middle is the middle of a tile of n.
func middle(n, i int) image.Point {
	r := tilePlace(rigSize, n, i)
	return r.Min.Add(r.Size().Div(2))
}

func (r *rig) seesTiles(t testing.TB) {
	t.Helper()
	for i, g := range r.guests {
		linktest.Eventually(t, "the small picture of "+string(rune('a'+i)), func() bool { return near(r.pixel(middle(len(r.guests), i)), g.colour) })
	}
}

// TestOverview sees all machines at once, how they change, and chooses in each way that there is.
func TestOverview(t *testing.T) {
	r := newRig(t, 5)
	r.shows(t, 0)
	border := func(i int) bool { return r.pixel(tilePlace(rigSize, 5, i).Min.Add(image.Pt(1, 1))) == accent }
	r.keys.Key(input.KeyB, true) // held when the overview opens
	r.open(t)
	r.seesTiles(t)
	if !border(0) {
		t.Error("the machine in front is not marked")
	}
	g := r.guests[3]
	g.colour = 0xff0000c0
	g.screen.Fill(image.Rectangle{Max: rigSize}, g.colour)
	r.seesTiles(t)

	click := func(i int) {
		at := middle(5, i)
		r.keys.Point(at.X, at.Y, rigSize.X, rigSize.Y)
		r.tap(input.ButtonLeft)
	}
	for _, test := range []struct {
		what string
		do   func()
		want int
	}{
		{"enter", func() { r.tap(input.KeyEnter) }, 0},
		{"right", func() {
			r.tap(input.KeyRight)
			linktest.Eventually(t, "the mark", func() bool { return border(1) })
			r.tap(input.KeyEnter)
		}, 1},
		{"down", func() { r.tap(input.KeyDown); r.tap(input.KeyDown); r.tap(input.KeyEnter) }, 4},
		{"up and left", func() { r.tap(input.KeyUp); r.tap(input.KeyLeft); r.tap(input.KeyEnter) }, 0},
		{"number", func() { r.tap(input.Key9); r.tap(input.Key4) }, 3},
		{"hotkey", func() { r.tap(input.KeyF4); r.tap(input.KeyF4); r.tap(input.KeySpace) }, 0},
		{"click", func() { click(2) }, 2},
		{"click between", func() { r.keys.Point(0, 0, 640, 480); r.tap(input.ButtonLeft); r.tap(input.KeyEnter) }, 2},
		{"motion", func() {
			r.keys.Move(-10000, -10000)
			r.keys.Move(middle(5, 1).X, middle(5, 1).Y)
			r.tap(input.KeyEnter)
		}, 1},
		{"escape", func() { r.tap(input.KeyDown); r.tap(input.KeyEsc) }, 1},
		{"from elsewhere", func() { _ = r.Turn(2) }, 2},
	} {
		if !r.isOpen() {
			r.open(t)
		}
		test.do()
		if r.isOpen() || r.Front() != test.want {
			t.Fatalf("%s: open %v, %d is in front, want %d", test.what, r.isOpen(), r.Front(), test.want)
		}
		r.shows(t, test.want)
	}

	// No guest has got what was meant for the overview, and the key that was held has gone up.
	r.keys.Key(input.KeyB, false)
	r.tap(input.KeyC)
	key := func(c input.Code, v int32) input.Event { return input.Event{Type: input.TypeKey, Code: c, Value: v} }
	linktest.Eventually(t, "a key", func() bool { return slices.Contains(r.guests[2].events(), key(input.KeyC, 0)) })
	down := map[input.Code]bool{}
	for i, g := range r.guests {
		clear(down)
		for _, e := range g.events() {
			if down[e.Code] = e.Value != 0; !slices.Contains([]input.Code{input.KeyB, input.KeyC, input.KeyLeftCtrl, input.KeyLeftAlt}, e.Code) {
				t.Errorf("guest %d got %v", i, e)
			}
		}
		for c, held := range down {
			if held {
				t.Errorf("guest %d: %v is stuck", i, c)
			}
		}
	}
}

// TestOverviewOfTheDead has machines go and their screens off, and the last viewer leave, while the overview is shown.
func TestOverviewOfTheDead(t *testing.T) {
	r := newRig(t, 2)
	r.shows(t, 0)
	r.open(t)
	r.seesTiles(t)
	r.guests[0].remote.Close()
	r.Ended(0, "it failed")
	linktest.Eventually(t, "a tile without a picture", func() bool { return r.pixel(middle(2, 0)) == dark })
	r.viewer.Close()
	r.viewer = r.Frontend("test").Surface.NewViewer()
	t.Cleanup(r.viewer.Close)
	linktest.Eventually(t, "the overview again", func() bool { return near(r.pixel(middle(2, 1)), r.guests[1].colour) })
	r.tap(input.Key2)
	r.shows(t, 1)
	r.open(t) // and it is open at the end
}

// TestOverviewOfFewer removes a machine while the overview is shown: the others close ranks, and each is chosen by where it is seen.
func TestOverviewOfFewer(t *testing.T) {
	r := newRig(t, 3)
	r.shows(t, 0)
	r.open(t)
	r.seesTiles(t)
	r.Remove(1, 0)
	second := func() uint32 { return r.pixel(middle(2, 1)) }
	linktest.Eventually(t, "two small pictures", func() bool { return near(second(), r.guests[2].colour) })
	r.tap(input.Key2)
	r.shows(t, 2)
	r.tap(input.KeyF4) // round, past the one that is gone
	r.shows(t, 0)
	// Another takes its place.
	r.guests = slices.Delete(r.guests, 1, 2)
	if n := r.Add("late"); n != 1 {
		t.Fatalf("it is machine %d", n)
	}
	r.connect(t, 1)
	r.tap(input.KeyF4)
	r.shows(t, 2)
}

// TestThumbnail makes pictures of all shapes small; what it needs for that is bounded.
func TestThumbnail(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {1, 16384}, {16384, 1}, {640, 480}, {16384, 512}, {99, 7777}} {
		s := display.NewSurface()
		src := displaytest.New(t, s, size.X, size.Y)
		src.Fill(image.Rectangle{Max: size}, 0x4080c0)
		v := s.NewViewer()
		var p panel
		if err := p.resize(320, 200); err != nil {
			t.Fatal(err)
		}
		var small thumbnail
		u := v.Update()
		place := fit(image.Rect(10, 20, 300, 190), size.X, size.Y)
		small.draw(&p, place, &u.Frame)
		if len(small.pixels) > 4*9*(place.Dx()+1)*(place.Dy()+1)+4*9*(size.X+size.Y) {
			t.Errorf("%v: %d bytes for %v", size, len(small.pixels), place)
		}
		for y := range 200 {
			for x := range 320 {
				got, want := [3]byte(p.mem.Bytes()[y*p.g.Stride+4*x:]), [3]byte{}
				if image.Pt(x, y).In(place) {
					want = [3]byte{0xc0, 0x80, 0x40}
				}
				if !near(uint32(got[0])|uint32(got[1])<<8|uint32(got[2])<<16, uint32(want[0])|uint32(want[1])<<8|uint32(want[2])<<16) {
					t.Fatalf("%v at %d,%d: %v, want %v in %v", size, x, y, got, want, place)
				}
			}
		}
		v.Close()
		p.free()
	}
}

// TestTiles: no tile overlaps another or leaves the picture, however many there are.
func TestTiles(t *testing.T) {
	for n := 1; n <= 30; n++ {
		for i := range n {
			r := tilePlace(rigSize, n, i)
			if r.Empty() || !r.In(image.Rectangle{Max: rigSize}) {
				t.Errorf("%d of %d: %v", i, n, r)
			}
			if at := tileAt(rigSize, n, r.Min.Add(r.Size().Div(2))); at != i {
				t.Errorf("%d of %d is found as %d", i, n, at)
			}
		}
	}
}

func BenchmarkThumbnail(b *testing.B) {
	s := display.NewSurface()
	displaytest.New(b, s, 1920, 1080)
	v := s.NewViewer()
	defer v.Close()
	var p panel
	defer func() { p.free() }()
	if err := p.resize(1920, 1080); err != nil {
		b.Fatal(err)
	}
	var small thumbnail
	u := v.Update()
	place := fit(tilePlace(image.Pt(1920, 1080), 2, 0), 1920, 1080)
	b.ReportAllocs()
	for b.Loop() {
		small.draw(&p, place, &u.Frame)
	}
}
