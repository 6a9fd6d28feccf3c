package display_test

import (
	"encoding/binary"
	"image"
	"testing"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/displaytest"
)

// TestOverlay has a picture over another one that is seen in each copy of the whole and of parts, and nothing of the rest changes; what it hides and shows is damage.
func TestOverlay(t *testing.T) {
	const width, height, below, above = 64, 48, 0xff112233, 0xffaabbcc
	s := display.NewSurface()
	displaytest.New(t, s, width, height).Fill(image.Rect(0, 0, width, height), below)
	v := s.NewViewer()
	defer v.Close()
	v.Update()
	solid := func(r image.Rectangle) display.Overlay {
		o := display.Overlay{Rect: r, Pixels: make([]byte, 4*r.Dx()*r.Dy())}
		for i := 0; i < len(o.Pixels); i += 4 {
			binary.LittleEndian.PutUint32(o.Pixels[i:], above)
		}
		return o
	}
	check := func(name string, over, damage image.Rectangle) {
		t.Helper()
		u := v.Update()
		var all image.Rectangle
		for _, r := range u.Damage {
			all = all.Union(r)
		}
		if all != damage {
			t.Errorf("%s: damage %v, want %v", name, all, damage)
		}
		for _, part := range []image.Rectangle{u.Frame.Bounds(), image.Rect(7, 3, 60, 40), image.Rect(12, 9, 13, 10), image.Rect(0, 10, width, 11)} {
			f := u.Frame.Part(part)
			dst := make([]byte, 4*part.Dx()*part.Dy())
			f.Copy(dst, 4*part.Dx(), f.Bounds())
			for i := 0; i < len(dst); i += 4 {
				at := part.Min.Add(image.Pt(i/4%part.Dx(), i/4/part.Dx()))
				want := uint32(below)
				if at.In(over) {
					want = above
				}
				if got := binary.LittleEndian.Uint32(dst[i:]); got != want {
					t.Fatalf("%s, %v: %#x at %v, want %#x", name, part, got, at, want)
				}
			}
		}
	}
	first, second, out := image.Rect(10, 5, 30, 15), image.Rect(12, 9, 13, 10), image.Rect(-5, -5, 5, 5)
	s.SetOverlay(solid(first))
	check("first", first, first)
	s.SetOverlay(solid(second))
	check("a smaller one", second, first)
	s.SetOverlay(solid(out))
	check("half outside", out, second.Union(image.Rect(0, 0, 5, 5)))
	s.SetOverlay(display.Overlay{})
	check("none", image.Rectangle{}, image.Rect(0, 0, 5, 5))
	s.SetOverlay(display.Overlay{})
	check("none again", image.Rectangle{}, image.Rectangle{})
	s.SetOverlay(display.Overlay{Rect: first, Pixels: make([]byte, 12)})
	check("too few pixels", image.Rectangle{}, image.Rectangle{})
	s.SetOverlay(solid(first))
	check("another", first, first)
	displaytest.New(t, s, width, height).Fill(image.Rect(0, 0, width, height), below)
	check("over another memory", first, image.Rect(0, 0, width, height))
}
