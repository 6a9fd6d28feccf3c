package spool

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEverythingIsWritten(t *testing.T) {
	var out bytes.Buffer
	s := New(&out)
	var want bytes.Buffer
	for range 1000 {
		_, _ = io.WriteString(io.MultiWriter(s, &want), "a line\n")
	}
	if err := s.Close(); err != nil || out.String() != want.String() {
		t.Errorf("%v; %d bytes came out, want %d", err, out.Len(), want.Len())
	}
	if n, err := s.Write([]byte("too late")); n != 8 || err != nil || out.Len() != want.Len() {
		t.Errorf("after Close: %d bytes, %v", n, err)
	}
}

// TestBlocked has nobody read: Write returns all the same, memory is bounded, and the reader that comes at last is told of the gap.
func TestBlocked(t *testing.T) {
	r, w := io.Pipe()
	s := New(w)
	line := []byte(strings.Repeat("x", 99) + "\n")
	for range 100 * capacity / len(line) {
		if n, err := s.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	s.mu.Lock()
	held, dropped := len(s.waiting), s.dropped
	s.mu.Unlock()
	if held > capacity || dropped == 0 {
		t.Fatalf("%d bytes are held, %d messages dropped", held, dropped)
	}
	var got bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&got, r)
	}()
	for i := 0; ; i++ { // until there is room again
		s.mu.Lock()
		room := len(s.waiting) == 0
		s.mu.Unlock()
		if room {
			break
		}
	}
	_, _ = s.Write([]byte("the end\n"))
	_ = s.Close()
	_ = w.Close()
	<-read
	if !strings.HasSuffix(got.String(), "messages were dropped here, as nobody took them)\nthe end\n") {
		t.Errorf("the reader got %d bytes that end in %q", got.Len(), got.String()[max(0, got.Len()-120):])
	}
}

// TestCloseGivesUp has nobody read at all.
func TestCloseGivesUp(t *testing.T) {
	r, w := io.Pipe()
	s := New(w)
	_, _ = s.Write([]byte("never taken"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	<-s.ended
}
