package link

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/session/link/linktest"
)

// TestClipboard hands texts over, the longest too, and nothing to a machine that shares nothing.
func TestClipboard(t *testing.T) {
	a, b := linktest.Pair(t)
	clip := &frontend.Clipboard{}
	got := make(chan string, 9)
	guest := clip.Join(func(text string) { got <- text })
	s := Serve(a, Machine{Input: &input.Hub{}, Clipboard: clip})
	defer s.Close()
	r := Connect(b, func() {})
	defer r.Close()
	copied := make(chan string, 9)
	r.OnCopied(func(text string) { copied <- text })
	long := strings.Repeat("ü", frontend.MaxClipboard/2)
	for i, text := range []string{"one", long, "two"} {
		r.Paste(text)
		if pasted := <-got; pasted != text {
			t.Errorf("%d bytes, want %d", len(pasted), len(text))
		}
		guest.Set(fmt.Sprint("guest's ", i))
		if c := <-copied; c != fmt.Sprint("guest's ", i) {
			t.Errorf("%q", c)
		}
	}

	a, b = linktest.Pair(t)
	none := Serve(a, Machine{Input: &input.Hub{}, Focus: func(bool) {}})
	defer none.Close()
	r = Connect(b, func() {})
	defer r.Close()
	r.Paste("x")
	none.SetState(Ready, "")
	linktest.Eventually(t, "it is well", func() bool { st, _ := r.State(); return st == Ready })
}

// TestPasteToDeaf has texts wait for a machine that does not read: one at a time.
func TestPasteToDeaf(t *testing.T) {
	_, b := linktest.Pair(t)
	r := Connect(b, func() {})
	defer r.Close()
	long := strings.Repeat("x", frontend.MaxClipboard)
	for range 100 {
		r.Paste(long)
		r.Focus(true)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	waiting := 0
	for _, m := range r.queue {
		waiting += len(m.body)
	}
	if waiting > len(long)+1000 {
		t.Errorf("%d bytes wait", waiting)
	}
}
