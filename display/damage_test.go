package display

import (
	"image"
	"math/rand/v2"
	"testing"
)

// TestRegion checks that no pixel is lost, and that rectangles far apart stay apart.
func TestRegion(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var g region
		var want [40][40]bool
		for range r.IntN(60) {
			x, y := r.IntN(40), r.IntN(40)
			a := image.Rect(x, y, x+1+r.IntN(40-x), y+1+r.IntN(40-y))
			g.add(a)
			for y := a.Min.Y; y < a.Max.Y; y++ {
				for x := a.Min.X; x < a.Max.X; x++ {
					want[y][x] = true
				}
			}
		}
		for y := range want {
			for x, w := range want[y] {
				has := false
				for _, a := range g.rects[:g.n] {
					has = has || image.Pt(x, y).In(a)
				}
				if w && !has {
					t.Fatalf("(%d, %d) was lost", x, y)
				}
			}
		}
	}
	var g region
	for i := range maxRects {
		g.add(image.Rect(100*i, 0, 100*i+10, 10))
	}
	if g.n != maxRects {
		t.Errorf("%d rectangles of %d", g.n, maxRects)
	}
	var lines region
	for y := range 1000 {
		lines.add(image.Rect(0, y, 640, y+1))
	}
	if lines.n != 1 || lines.rects[0] != image.Rect(0, 0, 640, 1000) {
		t.Errorf("adjacent lines: %v", lines.rects[:lines.n])
	}
}
