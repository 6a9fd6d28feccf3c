package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestStartPageColours has the page that the picture is compared with be made of the colours that are looked for.
func TestStartPageColours(t *testing.T) {
	b, err := os.ReadFile("../../images/browser/start.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []int{startBack, startHead, startBorder} {
		if want := fmt.Sprintf("#%06x", c); !strings.Contains(string(b), want) {
			t.Errorf("the start page has no %s", want)
		}
	}
	if !strings.Contains(string(b), "background: #fff;") {
		t.Error("the start page has no white field")
	}
}

func TestIsStartPage(t *testing.T) {
	const width, height = 640, 480
	page := make([]uint32, width*height)
	fill := func(x, y, w, h int, c uint32) {
		for i := range w * h {
			page[(y+i/w)*width+x+i%w] = c
		}
	}
	for _, step := range []struct {
		what string
		draw func()
		want bool
	}{
		{"nothing", func() {}, false},
		{"a background", func() { fill(0, 0, width, height, startBack) }, false},
		{"a heading", func() { fill(100, 100, 50, 20, startHead) }, false},
		{"a field", func() { fill(100, 200, 440, 40, startField) }, false},
		{"its border", func() { fill(97, 197, 446, 3, startBorder) }, true},
		{"text in the field", func() { fill(105, 205, 30, 30, 0) }, true},
		{"a field that is half there", func() { fill(100, 220, 440, 20, startBack) }, false},
		{"the field again", func() { fill(100, 200, 440, 40, startField) }, true},
		{"something in a corner", func() { fill(0, height-1, 1, 1, 0xffffff) }, false},
	} {
		step.draw()
		if got := isStartPage(page, width); got != step.want {
			t.Errorf("with %s: %t", step.what, got)
		}
	}
	if isStartPage(nil, 0) || isStartPage(page[:width], width) {
		t.Error("a picture of no size is the page")
	}
}

func TestExactly(t *testing.T) {
	r := rest{pixels: []uint32{1, 2, 3}, blinks: []bool{false, true, false}}
	for _, test := range []struct {
		pixels []uint32
		want   bool
	}{{[]uint32{1, 2, 3}, true}, {[]uint32{1, 9, 3}, true}, {[]uint32{1, 2, 4}, false}, {[]uint32{1, 2}, false}} {
		if got := r.exactly(test.pixels); got != test.want {
			t.Errorf("%v: %t", test.pixels, got)
		}
	}
}

// TestInstantWords listens to a session.
func TestInstantWords(t *testing.T) {
	say := func(lines ...string) *instantSession {
		s := &instantSession{words: make(chan words, len(lines)), steps: map[string]time.Duration{}}
		for i, l := range lines {
			s.words <- words{l, time.Duration(i+1) * time.Second}
		}
		close(s.words)
		return s
	}
	s := say("vmm: the screen is shown by VNC", "chromeos:   4000.5 ms   +12.5  processors restored", "chromeos: vmm: chromeos.vmx starts instantly from now on: a snapshot")
	if at, err := s.says(saidMade); at != 3*time.Second || err != nil {
		t.Error(at, err)
	}
	if got := s.step(stepRestored); got != 4000500*time.Microsecond {
		t.Errorf("the processors were restored after %v", got)
	}
	if got := s.step("sandbox entered"); got != 0 {
		t.Errorf("a step that was not said: %v", got)
	}
	if _, err := s.says(saidMade); err == nil || !strings.Contains(err.Error(), "from now on") {
		t.Errorf("the end: %v", err)
	}
	for _, bad := range []string{"chromeos: vmm: chromeos starts anew: its snapshot is damaged", "vmm: no snapshot for instant starts is made: too little memory"} {
		if _, err := say("x", bad, "vmm: the screen is shown").says(saidUp); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
