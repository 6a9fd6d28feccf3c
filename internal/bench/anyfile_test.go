package main

import "testing"

// TestRest has a picture change: a caret that blinks is part of it, and no answer; what is typed is one; another picture is another.
func TestRest(t *testing.T) {
	const size = 100_000
	picture := make([]uint32, size)
	for i := range picture {
		picture[i] = 0xffffff
	}
	var r rest
	if !r.empty() || r.look(picture) || r.empty() {
		t.Fatalf("the first picture: empty %t", r.empty())
	}
	blink := append([]uint32(nil), picture...)
	for i := range 30 {
		blink[500+i] = 0
	}
	for range 3 {
		if !r.look(blink) || !r.look(picture) {
			t.Fatal("a caret makes another picture")
		}
	}
	typed := append([]uint32(nil), picture...)
	typed[700] = 0
	if r.differ(picture, blink) != 0 || r.differ(blink, typed) != 1 || !r.like(blink) {
		t.Errorf("%d pixels of a caret count, %d of what is typed", r.differ(picture, blink), r.differ(blink, typed))
	}
	other := make([]uint32, size)
	if r.like(other) || r.like(other[1:]) || r.look(other) || !r.empty() || r.differ(picture, blink) != 30 {
		t.Error("another picture counts as the same, or what blinked in the first is left out of it")
	}
}
