package display

import "image"

// maxRects bounds the rectangles that a viewer is behind by: more of them cost a frontend more than the pixels that they save.
const maxRects = 16

// region is a set of pixels as few rectangles, which may overlap and may cover more than was added.
type region struct {
	rects [maxRects]image.Rectangle
	n     int
}

func (g *region) reset() { g.n = 0 }

// add takes r, which is not empty, in.
func (g *region) add(r image.Rectangle) {
	for {
		best, waste := -1, 0
		for i := range g.rects[:g.n] {
			if r.In(g.rects[i]) {
				return
			}
			u := g.rects[i].Union(r)
			w := area(u) - area(g.rects[i]) - area(r) + area(g.rects[i].Intersect(r))
			if best < 0 || w < waste {
				best, waste = i, w
			}
		}
		// Joined where that costs next to nothing, or where there is no room.
		if best < 0 || (g.n < maxRects && waste > area(r)/8) {
			g.rects[g.n] = r
			g.n++
			return
		}
		r = r.Union(g.rects[best])
		g.n--
		g.rects[best] = g.rects[g.n]
	}
}

func area(r image.Rectangle) int { return r.Dx() * r.Dy() }
