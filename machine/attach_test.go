package machine

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestHistory adds pieces of all sizes: the last of them are kept.
func TestHistory(t *testing.T) {
	var h history
	var all []byte
	for i, size := range []int{0, 1, 100, historySize - 101, 5, historySize, 7, historySize + 9, historySize - 1, 3 * historySize, 2} {
		p := bytes.Repeat([]byte{byte('a' + i)}, size)
		h.add(p)
		all = append(all, p...)
		want := all[max(len(all)-historySize, 0):]
		if got := h.text(); !bytes.Equal(got, want) {
			t.Fatalf("after %d bytes more: %d bytes, want %d, or others", size, len(got), len(want))
		}
	}
}

// TestAttach has two attach, one of them with what was printed before, beside a terminal that fails: each sees its part, and both type.
func TestAttach(t *testing.T) {
	r, terminal := io.Pipe()
	r.Close()
	c := newUserConsole(nil, terminal)
	e := c.attach(false)
	say := func(s string) {
		t.Helper()
		if n, err := io.WriteString(e, s); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	say("one ")
	var past, fresh bytes.Buffer
	a, b := c.join(&past, true), c.join(&fresh, false)
	say("two ")
	_ = a.Close()
	say("three")
	if past.String() != "one two " || fresh.String() != "two three" || string(c.history.text()) != "one two three" {
		t.Errorf("%q, %q, %q", past.String(), fresh.String(), c.history.text())
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, errDetached) {
		t.Errorf("typing after Close: %v", err)
	}
	long := strings.Repeat("y", 3*maxTyped)
	var typing sync.WaitGroup
	typing.Go(func() {
		if n, err := io.WriteString(b, long); n != len(long) || err != nil {
			t.Error(n, err)
		}
	})
	got := make([]byte, len(long))
	if _, err := io.ReadFull(e, got); err != nil || string(got) != long {
		t.Errorf("the guest got other things than were typed: %v", err)
	}
	typing.Wait()
}

// TestAttachedTypingEnds types more than there is room for: leaving ends the waiting, and a guest that takes nothing is waited for once.
func TestAttachedTypingEnds(t *testing.T) {
	c := newUserConsole(nil, nil)
	e := c.attach(false)
	a := c.join(io.Discard, false)
	ended := make(chan error)
	go func() {
		_, err := a.Write(make([]byte, maxTyped+1))
		ended <- err
	}()
	c.mu.Lock()
	for len(c.typed) < maxTyped {
		c.cond.Wait()
	}
	c.mu.Unlock()
	_ = a.Close()
	if err := <-ended; !errors.Is(err, errDetached) {
		t.Error(err)
	}
	b := c.join(io.Discard, false)
	b.stalled = true // as after typingPatience
	begun := time.Now()
	if n, err := b.Write([]byte("z")); n != 0 || !errors.Is(err, errUnread) || time.Since(begun) > typingPatience/2 {
		t.Errorf("%d, %v after %v", n, err, time.Since(begun))
	}
	_, _ = e.Read(make([]byte, 10))
	if n, err := b.Write([]byte("z")); n != 1 || err != nil || b.stalled {
		t.Errorf("once the guest has read: %d, %v", n, err)
	}
}
