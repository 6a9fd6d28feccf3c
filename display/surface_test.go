package display_test

import (
	"image"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
)

func TestViewersHaveTheirOwnDamage(t *testing.T) {
	s := display.NewSurface()
	src := displaytest.New(t, s, 100, 50)
	a, b := s.NewViewer(), s.NewViewer()
	defer a.Close()
	defer b.Close()
	whole := []image.Rectangle{image.Rect(0, 0, 100, 50)}
	if u := a.Update(); !slices.Equal(u.Damage, whole) || u.Frame.Bounds().Size() != image.Pt(100, 50) {
		t.Fatalf("the first update: %v", u)
	}
	one, two := image.Rect(1, 2, 3, 4), image.Rect(60, 20, 70, 30)
	src.Fill(one, 0xff0000)
	if u := a.Update(); !slices.Equal(u.Damage, []image.Rectangle{one}) {
		t.Errorf("%v", u.Damage)
	}
	src.Fill(two, 0xff)
	if u := a.Update(); !slices.Equal(u.Damage, []image.Rectangle{two}) {
		t.Errorf("%v", u.Damage)
	}
	if u := b.Update(); !slices.Equal(u.Damage, whole) {
		t.Errorf("a viewer that had not looked: %v", u.Damage)
	}
	if u := b.Update(); len(u.Damage) != 0 {
		t.Errorf("nothing changed, and yet %v", u.Damage)
	}
	s.Damage(image.Rect(-5, -5, 1, 1))
	s.Damage(image.Rect(100, 0, 200, 50))
	if u := b.Update(); !slices.Equal(u.Damage, []image.Rectangle{image.Rect(0, 0, 1, 1)}) {
		t.Errorf("damage beyond the edges: %v", u.Damage)
	}
}

func TestGenerations(t *testing.T) {
	s := display.NewSurface()
	v := s.NewViewer()
	defer v.Close()
	off := v.Update().Frame
	if !off.Off() || off.Generation == 0 {
		t.Fatalf("%+v", off)
	}
	src := displaytest.New(t, s, 640, 480)
	first := v.Update().Frame
	if first.Generation == off.Generation || first.Off() {
		t.Fatalf("%+v", first)
	}
	src.Resize(t, 8, 8)
	// The old picture can still be looked at, to its last pixel.
	_ = first.Line(479)
	u := v.Update()
	if u.Frame.Generation == first.Generation || !slices.Equal(u.Damage, []image.Rectangle{image.Rect(0, 0, 8, 8)}) {
		t.Errorf("%+v", u)
	}
	g := u.Frame
	if err := s.Show(g.Memory, g.Geometry); err != nil || v.Update().Frame.Generation != g.Generation {
		t.Error("the same picture is another generation")
	}
	g.Offset = 1
	if err := s.Show(g.Memory, g.Geometry); err == nil {
		t.Error("shows a pixel beyond the memory")
	}
	s.Detach(src)
	if u := v.Update(); !u.Frame.Off() || len(u.Damage) != 0 {
		t.Errorf("after the device had gone: %+v", u)
	}
}

func TestMemoryIsFreed(t *testing.T) {
	m, err := display.NewMemory("test", 4096)
	if err != nil {
		t.Fatal(err)
	}
	s := display.NewSurface()
	if err := s.Show(m, display.Geometry{Width: 32, Height: 32, Stride: 128}); err != nil {
		t.Fatal(err)
	}
	m.Release()
	v := s.NewViewer()
	v.Update()
	s.Off()
	if len(m.Bytes()) == 0 {
		t.Fatal("memory went away under a viewer")
	}
	v.Close()
	v.Close()
	if m.Bytes() != nil || m.FD() >= 0 {
		t.Error("memory that nobody holds is there")
	}
	if u := v.Update(); !u.Frame.Off() {
		t.Error("a closed viewer sees something")
	}
}

func TestGeometryCheck(t *testing.T) {
	for _, test := range []struct {
		g    display.Geometry
		size int
		ok   bool
	}{
		{display.Geometry{Width: 10, Height: 10, Stride: 40}, 400, true},
		{display.Geometry{Width: 10, Height: 10, Stride: 40}, 399, false},
		{display.Geometry{Width: 10, Height: 10, Stride: 44}, 436, true}, // the last line has no padding
		{display.Geometry{Width: 10, Height: 10, Stride: 39}, 4000, false},
		{display.Geometry{Width: 10, Height: 10, Stride: 40, Offset: -1}, 4000, false},
		{display.Geometry{Width: 0, Height: 10, Stride: 40}, 4000, false},
		{display.Geometry{Width: 10, Height: -1, Stride: 40}, 4000, false},
		{display.Geometry{Width: 1 << 20, Height: 1, Stride: 1 << 22}, 1 << 30, false},
		{display.Geometry{Width: 16384, Height: 16384, Stride: 1 << 30}, 1 << 30, false},
		{display.Geometry{Width: 1, Height: 1, Stride: 4, Format: 200}, 400, false},
		{display.Geometry{Width: 10, Height: 1, Stride: 20, Format: display.RGB565}, 20, true},
	} {
		if err := test.g.Check(test.size); (err == nil) != test.ok {
			t.Errorf("%+v in %d bytes: %v", test.g, test.size, err)
		}
	}
}

func TestSourceIsToldOfViewers(t *testing.T) {
	s := display.NewSurface()
	src := displaytest.New(t, s, 10, 10)
	a := s.NewViewer()
	b := s.NewViewer()
	a.Close()
	if !src.IsWatched() {
		t.Error("not watched though there is a viewer")
	}
	b.Close()
	if src.IsWatched() {
		t.Error("watched by nobody")
	}
	c := s.NewViewer()
	defer c.Close()
	next := displaytest.New(t, s, 10, 10)
	if !next.IsWatched() {
		t.Error("the next source is not told")
	}
	s.Detach(src) // comes too late
	if c.Update().Frame.Off() || next.Looks() != 1 {
		t.Error("a source that had been replaced took the next one away")
	}
}

func TestWish(t *testing.T) {
	s := display.NewSurface()
	s.Wish(image.Pt(1, 100000))
	src := displaytest.New(t, s, 10, 10)
	s.Wish(image.Pt(-4, 600))
	if got := src.Wishes(); !slices.Equal(got, []image.Point{{1, display.MaxSize}, {1, 600}}) {
		t.Errorf("%v", got)
	}
}

func TestWait(t *testing.T) {
	s := display.NewSurface()
	src := displaytest.New(t, s, 100, 100)
	v := s.NewViewer()
	defer v.Close()
	done := make(chan struct{})
	if !v.Wait(done, time.Hour) {
		t.Fatal("a new viewer has nothing to see")
	}
	v.Update()
	go src.Fill(image.Rect(0, 0, 1, 1), 1)
	if !v.Wait(done, time.Millisecond) || len(v.Update().Damage) != 1 {
		t.Error("woken for nothing")
	}
	src.Quiet = true
	src.Fill(image.Rect(2, 2, 3, 3), 1)
	if !v.Wait(done, time.Millisecond) || len(v.Update().Damage) != 1 {
		t.Error("a source that must be polled was not")
	}
	close(done)
	if v.Wait(done, time.Hour) || v.Wait(done, 0) {
		t.Error("did not end")
	}
	src.Quiet = false
	w := s.NewViewer()
	w.Update()
	go w.Close()
	if w.Wait(nil, 0) {
		t.Error("a closed viewer waits")
	}
}

func TestCursor(t *testing.T) {
	s := display.NewSurface()
	displaytest.New(t, s, 10, 10)
	v := s.NewViewer()
	defer v.Close()
	if c := v.Update().Cursor; c.Visible {
		t.Fatalf("%+v", c)
	}
	s.SetCursor(display.CursorImage{Width: 1, Height: 1, Pixels: []byte{1, 2, 3, 255}})
	s.MoveCursor(image.Pt(4, 5))
	select {
	case <-v.Changed():
	default:
		t.Error("nobody told")
	}
	c := v.Update().Cursor
	if !c.Visible || c.Position != image.Pt(4, 5) || c.Serial == 0 {
		t.Errorf("%+v", c)
	}
	img, err := s.Image()
	if err != nil {
		t.Fatal(err)
	}
	if r, g, b, _ := img.At(4, 5).RGBA(); r>>8 != 3 || g>>8 != 2 || b>>8 != 1 {
		t.Errorf("the cursor's pixel is %v", img.At(4, 5))
	}
	s.SetCursor(display.CursorImage{Width: 3, Height: 1, Pixels: []byte{1}})
	if next := v.Update().Cursor; next.Visible || next.Serial == c.Serial {
		t.Errorf("a broken image: %+v", next)
	}
}

// TestRaces has everybody do everything at once; it is for the race detector, and for what must hold for each update.
func TestRaces(t *testing.T) {
	s := display.NewSurface()
	src := displaytest.New(t, s, 64, 64)
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 300 {
				v := s.NewViewer()
				for range r.IntN(4) {
					u := v.Update()
					for _, d := range u.Damage {
						if !d.In(u.Frame.Bounds()) {
							t.Errorf("%v is outside %v", d, u.Frame.Bounds())
						}
					}
					if !u.Frame.Off() {
						_ = u.Frame.Line(u.Frame.Height - 1)[u.Frame.Width*4-1]
					}
				}
				v.Close()
			}
		})
	}
	wg.Go(func() {
		r := rand.New(rand.NewPCG(9, 1))
		for range 300 {
			switch r.IntN(6) {
			case 0:
				src.Resize(t, 1+r.IntN(80), 1+r.IntN(80))
			case 1:
				s.Off()
			case 2:
				s.Wish(image.Pt(r.IntN(100), r.IntN(100)))
			case 3:
				s.SetCursor(display.CursorImage{Width: 1, Height: 1, Pixels: make([]byte, 4)})
			default:
				src.Fill(image.Rect(r.IntN(64), r.IntN(64), r.IntN(64), r.IntN(64)), r.Uint32())
			}
		}
	})
	wg.Wait()
	if src.IsWatched() {
		t.Error("watched by nobody")
	}
}

func TestUpdateDoesNotAllocate(t *testing.T) {
	s := display.NewSurface()
	src := displaytest.New(t, s, 64, 64)
	v := s.NewViewer()
	defer v.Close()
	if n := testing.AllocsPerRun(100, func() {
		src.Fill(image.Rect(1, 1, 2, 2), 3)
		v.Update()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestOnWish has somebody beside the source told of wishes.
func TestOnWish(t *testing.T) {
	s := display.NewSurface()
	s.Wish(image.Pt(1, 2))
	var got []image.Point
	stop := s.OnWish(func(size image.Point) { got = append(got, size) })
	s.Wish(image.Pt(3, 4))
	stop()
	s.Wish(image.Pt(5, 6))
	if want := []image.Point{{1, 2}, {3, 4}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
