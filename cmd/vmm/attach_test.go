package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/machine/control"
)

func (s *standIn) Resize(columns, rows uint16) { _ = s.note("size %dx%d", columns, rows) }
func (s *standIn) ConsoleText() []byte         { return []byte("past\r\n") }

// AttachConsole returns a console that answers to each piece that is typed, and ends with the machine.
func (s *standIn) AttachConsole(out io.Writer, past bool) control.Console {
	if past {
		_, _ = out.Write(s.ConsoleText())
	}
	return echo{out}
}

type echo struct{ out io.Writer }

func (e echo) Write(p []byte) (int, error) {
	_, _ = fmt.Fprintf(e.out, "<%q>\r\n", p)
	return len(p), nil
}

func (e echo) Close() error { return nil }

// pty is a terminal: what is written to user is typed, what is read from it is shown.
func pty(t *testing.T) (user, terminal *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	t.Cleanup(func() { user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100}); err != nil {
		t.Fatal(err)
	}
	return user, terminal
}

// shown is a terminal's text that a test waits for.
type shown struct {
	mu   sync.Mutex
	cond sync.Cond
	text bytes.Buffer
}

func (s *shown) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cond.Broadcast()
	return s.text.Write(p)
}

func (s *shown) wait(want string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !strings.Contains(s.text.String(), want) {
		s.cond.Wait()
	}
}

func newShown() *shown {
	s := &shown{}
	s.cond.L = &s.mu
	return s
}

// TestConsole joins the console of a machine from a terminal: text goes both ways, keys are obeyed, and the terminal is as it was afterwards.
func TestConsole(t *testing.T) {
	runtimeFolder(t)
	m := &standIn{}
	id, stop := serveControl("vm", m, logger(newRoot()))
	defer stop()
	client, err := findMachine(id)
	if err != nil {
		t.Fatal(err)
	}
	user, terminal := pty(t)
	before, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	out := newShown()
	left := make(chan error)
	go func() { left <- joinConsole(t.Context(), client, true, terminal, out, out) }()
	out.wait("past\r\n")
	out.wait("Ctrl-] d leaves it")
	fmt.Fprint(user, "ls\x03")
	out.wait(`<"ls\x03">`)
	fmt.Fprint(user, "\x1d?\x1dp\x1dr")
	out.wait("detach: the machine runs on")
	out.wait("deaf") // what the power button came to
	fmt.Fprint(user, "\x1dd")
	if err := <-left; err != nil {
		t.Error(err)
	}
	if after, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS); err != nil || *after != *before {
		t.Errorf("the terminal was left as %+v, %v; it was %+v", after, err, before)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if did := strings.Join(m.did, "|"); !strings.Contains(did, "size 100x40") || !strings.Contains(did, "reset") {
		t.Errorf("the machine was told %s", did)
	}
}

// TestConsoleOfFile types what is no terminal's, and sees the machine end.
func TestConsoleOfFile(t *testing.T) {
	runtimeFolder(t)
	id, stop := serveControl("vm", &standIn{}, logger(newRoot()))
	client, err := findMachine(id)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fmt.Fprint(w, "one\x1d")
	w.Close()
	out := newShown()
	left := make(chan error)
	go func() { left <- joinConsole(t.Context(), client, false, r, out, io.Discard) }()
	out.wait(`<"one\x1d">`)
	stop()
	if err := <-left; err != nil || strings.Contains(out.text.String(), "past") {
		t.Errorf("%v, %q", err, out.text.String())
	}
	if _, err := command(t, "console", "vm"); !errors.Is(err, control.ErrNoMachine) {
		t.Error(err)
	}
}
