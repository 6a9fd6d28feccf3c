package vga

import (
	"image"
	"slices"
	"testing"
)

// TestFlood has a guest draw everything for each look: most looks do without the log, all see everything. When it draws less again, a viewer soon sees just that.
func TestFlood(t *testing.T) {
	c := newCard(t, 16<<20)
	c.vbe(1920, 1080, 32)
	all := make([]int, 1920*1080*4/pageSize+1)
	for i := range all {
		all[i] = i
	}
	v := c.surface.NewViewer()
	defer v.Close()
	v.Update()
	looks := 0 // at the log
	c.guest.asked = func() { looks++ }
	whole := []image.Rectangle{image.Rect(0, 0, 1920, 1080)}
	for i := range 100 {
		c.guest.pages = append(c.guest.pages, all...)
		if u := v.Update(); !slices.Equal(u.Damage, whole) {
			t.Fatalf("look %d sees %v", i, u.Damage)
		}
	}
	if looks > 30 {
		t.Errorf("the log was asked %d times in 100 looks", looks)
	}
	late := 0
	for ; len(v.Update().Damage) > 0; late++ {
		if late > maxRest+1 {
			t.Fatal("it is taken for granted for ever")
		}
	}
	c.guest.pages = []int{0}
	if u := v.Update(); !slices.Equal(u.Damage, []image.Rectangle{image.Rect(0, 0, 1024, 1)}) {
		t.Errorf("a page: %v", u.Damage)
	}
	if u := v.Update(); len(u.Damage) != 0 {
		t.Errorf("nothing: %v", u.Damage)
	}
	// A picture that is drawn once, even all of it, is no flood.
	looks = 0
	for range 5 {
		c.guest.pages = all
		v.Update()
		if u := v.Update(); len(u.Damage) != 0 {
			t.Errorf("after a single picture: %v", u.Damage)
		}
	}
	if looks != 10 {
		t.Errorf("the log was asked %d times in 10 looks", looks)
	}
}
