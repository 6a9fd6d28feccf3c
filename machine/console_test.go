package machine

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestConsoleInputFollowsTheGuest(t *testing.T) {
	in, typing := io.Pipe()
	var out bytes.Buffer
	c := newUserConsole(in, &out)
	serial, virtio := c.attach(false), c.attach(true)
	buf := make([]byte, 16)
	read := func(e *consoleEnd) string {
		n, err := e.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	_, _ = serial.Write([]byte("kernel "))
	_, _ = typing.Write([]byte("one"))
	if got := read(serial); got != "one" {
		t.Errorf("the serial port got %q", got)
	}
	_, _ = virtio.Write([]byte("login: "))
	_, _ = serial.Write([]byte("oops "))
	_, _ = typing.Write([]byte("two"))
	if got := read(virtio); got != "two" {
		t.Errorf("the virtio console got %q", got)
	}
	if out.String() != "kernel login: oops " {
		t.Errorf("the terminal shows %q", out.String())
	}
	_ = virtio.Close()
	if _, err := virtio.Read(buf); err != io.EOF {
		t.Errorf("read after close: %v", err)
	}
	_, _ = typing.Write([]byte("three"))
	if got := read(serial); got != "three" {
		t.Errorf("after a reboot the serial port got %q", got)
	}
	_ = typing.Close()
	// The terminal's end is not the console's: somebody may attach.
	if _, err := c.join(io.Discard, false).Write([]byte("four")); err != nil {
		t.Error(err)
	}
	if got := read(serial); got != "four" {
		t.Errorf("after the user's end of file the serial port got %q", got)
	}
	_ = serial.Close()
	if _, err := serial.Read(buf); err != io.EOF {
		t.Errorf("read after close: %v", err)
	}
}

func TestConsoleKeepsTypingBounded(t *testing.T) {
	r, w := io.Pipe()
	c := newUserConsole(r, nil)
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(w, strings.NewReader(strings.Repeat("x", 10*maxTyped)))
		_ = w.Close()
		close(done)
	}()
	e := c.attach(false)
	total := 0
	buf := make([]byte, 100)
	for total < 10*maxTyped {
		n, err := e.Read(buf)
		if total += n; err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		if len(c.typed) > maxTyped {
			t.Fatalf("%d bytes kept", len(c.typed))
		}
		c.mu.Unlock()
	}
	if <-done; total != 10*maxTyped {
		t.Errorf("%d bytes arrived", total)
	}
}

func TestConsoleTellsOfItsUse(t *testing.T) {
	in, typing := io.Pipe()
	c := newUserConsole(in, nil)
	e, used := c.attach(true), make(chan struct{})
	e.used = func() { used <- struct{}{} }
	for range 2 {
		_, _ = e.Write([]byte("login: "))
		go func() { _, _ = typing.Write([]byte("x")) }()
		if _, err := e.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	<-used // by the first print
	<-used // by the first read
	select {
	case <-used:
		t.Error("told of a use that was not the first")
	default:
	}
}

// TestConsoleReaderEnds closes a console whose reader waits for room, as when the guest never read.
func TestConsoleReaderEnds(t *testing.T) {
	c := newUserConsole(nil, nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.read(strings.NewReader(strings.Repeat("x", 2*maxTyped)))
	}()
	c.mu.Lock()
	for len(c.typed) < maxTyped {
		c.cond.Wait()
	}
	c.mu.Unlock()
	c.close()
	<-ended
}
