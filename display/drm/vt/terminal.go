package vt

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Event is what happens to a terminal.
type Event int

// The events.
const (
	Acquired Event = iota // the screen is ours: draw
	Release               // the screen goes to another terminal: give it up, then call Released
	Lost                  // the guard is gone, and the terminal has been given back
)

// Terminal is a virtual terminal that is held by a guard. Its methods may be called from any goroutine.
type Terminal struct {
	n      int
	cmd    *exec.Cmd
	tty    *tty
	conn   *net.UnixConn
	events chan Event
	ended  chan struct{}

	mu      sync.Mutex // guards the following
	closing bool
}

// startTime is how long the guard may take to start.
const startTime = 10 * time.Second

// Open takes a terminal: the one that standard input is, or else one that nobody uses, to which the screen is switched. guard is the command, without the terminal's number,
// that calls Guard. ErrNone says that there are no terminals.
func Open(guard ...string) (*Terminal, error) {
	n, err := find()
	if err != nil {
		return nil, err
	}
	dev, err := openTTY(n)
	if err != nil {
		return nil, err
	}
	t := &Terminal{n: n, tty: dev, events: make(chan Event, 8), ended: make(chan struct{})}
	if err := t.start(guard); err != nil {
		dev.f.Close()
		return nil, err
	}
	return t, nil
}

func (t *Terminal) start(guard []string) error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket to the console's guard: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "guard"), os.NewFile(uintptr(fds[1]), "frontend")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return fmt.Errorf("socket to the console's guard: %w", err)
	}
	t.conn = conn.(*net.UnixConn)
	before, err := t.tty.active()
	if err != nil {
		conn.Close()
		return err
	}
	kbMode, err := t.tty.keyboard()
	if err != nil {
		conn.Close()
		return err
	}
	t.cmd = exec.Command(guard[0], slices.Concat(guard[1:], []string{strconv.Itoa(t.n)})...)
	t.cmd.ExtraFiles = []*os.File{theirs, t.tty.f} // socketFD, ttyFD
	if err := t.cmd.Start(); err != nil {
		conn.Close()
		return fmt.Errorf("start the console's guard: %w", err)
	}
	theirs.Close()
	if err := t.await(); err != nil {
		conn.Close()
		_ = t.cmd.Wait() // it restores what it has changed
		return err
	}
	go t.listen(before, kbMode)
	return nil
}

// await waits for the guard's first word.
func (t *Terminal) await() error {
	if err := t.conn.SetReadDeadline(time.Now().Add(startTime)); err != nil {
		return err
	}
	b := make([]byte, maxSaid)
	n, err := t.conn.Read(b)
	switch {
	case err != nil || n == 0:
		return errors.New("the console's guard does not start")
	case b[0] == saysFailed:
		return fmt.Errorf("%s; the console has to be this user's: root's, or that of a systemd unit with TTYPath= and StandardInput=tty", b[1:n])
	}
	return t.conn.SetReadDeadline(time.Time{})
}

// listen passes on what the guard says until it is gone.
func (t *Terminal) listen(before, kbMode int) {
	defer close(t.ended)
	b := make([]byte, maxSaid)
	for {
		n, err := t.conn.Read(b)
		if err != nil || n == 0 {
			break
		}
		switch b[0] {
		case saysAcquired:
			t.events <- Acquired
		case saysRelease:
			t.events <- Release
		}
	}
	_ = t.cmd.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closing { // it was killed
		_ = restore(t.tty, t.n, before, kbMode)
		t.events <- Lost
	}
	t.tty.f.Close()
}

// Number is the terminal's.
func (t *Terminal) Number() int { return t.n }

// Events are what happens. They have to be taken, until Close.
func (t *Terminal) Events() <-chan Event { return t.events }

// Released says that the screen has been given up.
func (t *Terminal) Released() { _, _ = t.conn.Write([]byte{saysReleased}) } // a guard that is gone shows by Lost

// Switch asks the kernel to switch to another terminal, 1 to 63; where there is none, nothing happens.
func (t *Terminal) Switch(n int) {
	if n >= 1 && n <= maxTerminal {
		_, _ = t.conn.Write([]byte{saysSwitch, byte(n)})
	}
}

// Close gives the terminal back. The graphics card has to be closed before.
func (t *Terminal) Close() error {
	t.mu.Lock()
	t.closing = true
	t.mu.Unlock()
	_, _ = t.conn.Write([]byte{saysEnd})
	for {
		select {
		case <-t.events:
		case <-t.ended:
			return t.conn.Close()
		}
	}
}
