// Package displaytest is a graphics device for the tests of whatever looks at a surface.
package displaytest

import (
	"encoding/binary"
	"image"
	"sync"
	"testing"

	"github.com/sharevm/vmm/display"
)

// Source draws on a surface what a test tells it to.
type Source struct {
	// Quiet has it tell of changes only when it is polled, as video memory with a dirty log does.
	Quiet   bool
	surface *display.Surface

	mu      sync.Mutex
	mem     *display.Memory
	size    image.Point
	pending image.Rectangle
	watched bool
	wishes  []image.Point
	looks   int
}

// New attaches a source that shows width by height black pixels, until the test ends.
func New(t testing.TB, s *display.Surface, width, height int) *Source {
	t.Helper()
	src := &Source{surface: s}
	s.Attach(src)
	t.Cleanup(func() {
		s.Detach(src)
		src.mu.Lock()
		defer src.mu.Unlock()
		src.mem.Release()
	})
	src.Resize(t, width, height)
	return src
}

// Resize shows a picture of another size, black.
func (s *Source) Resize(t testing.TB, width, height int) {
	t.Helper()
	m, err := display.NewMemory("test", max(4*width*height, 1))
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mem != nil {
		s.mem.Release()
	}
	s.mem, s.size, s.pending = m, image.Pt(width, height), image.Rectangle{}
	if err := s.surface.Show(m, display.Geometry{Width: width, Height: height, Stride: 4 * width}); err != nil {
		t.Fatal(err)
	}
}

// Fill paints r in a colour, 0xRRGGBB.
func (s *Source) Fill(r image.Rectangle, colour uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r = r.Intersect(image.Rectangle{Max: s.size})
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			binary.LittleEndian.PutUint32(s.mem.Bytes()[4*(y*s.size.X+x):], colour)
		}
	}
	if s.Quiet {
		s.pending = s.pending.Union(r)
		return
	}
	s.surface.Damage(r)
}

// Wishes are the sizes that viewers asked for.
func (s *Source) Wishes() []image.Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]image.Point(nil), s.wishes...)
}

// IsWatched says whether the surface has viewers.
func (s *Source) IsWatched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watched
}

// Looks says how often a viewer had it look for changes.
func (s *Source) Looks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// Watched implements display.Source.
func (s *Source) Watched(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched = on
}

// Refresh implements display.Source.
func (s *Source) Refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	s.surface.Damage(s.pending)
	s.pending = image.Rectangle{}
}

// Polled implements display.Source.
func (s *Source) Polled() bool { return s.Quiet }

// Wish implements display.Source.
func (s *Source) Wish(size image.Point) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wishes = append(s.wishes, size)
}
