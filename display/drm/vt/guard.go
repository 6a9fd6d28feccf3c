package vt

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The messages between guard and frontend, a datagram each.
const (
	// From the guard.
	saysReady    = 'k' // the terminal is held
	saysFailed   = 'f' // and why: it is not
	saysAcquired = 'a' // the screen is ours
	saysRelease  = 'r' // it has to be given up; the frontend answers
	// From the frontend.
	saysReleased = 'd' // the card and the input devices are free
	saysSwitch   = 's' // and a byte: to which terminal
	saysEnd      = 'e'
)

const (
	// releaseTime is how long the frontend may take to give up the screen. Then the switch happens all the same.
	releaseTime = 2 * time.Second
	// dyingTime is how long a frontend that is gone from the socket may take to be gone altogether.
	dyingTime = 3 * time.Second
	maxSaid   = 512
)

// Descriptors of the guard.
const (
	socketFD = 3
	ttyFD    = 4
)

// Guard is the work of the guard's process, which the frontend has started with the terminal's number as its argument. It returns when the terminal has been given back.
func Guard(number string) error {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > maxTerminal {
		return fmt.Errorf("%q is no number of a terminal", number)
	}
	// The kernel asks the thread that has set the mode: without it the terminal counts as nobody's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// What ends the frontend ends the guard after it. A terminal's hanging up must not.
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, releaseSignal, acquireSignal)
	unix.CloseOnExec(socketFD)
	unix.CloseOnExec(ttyFD)
	f := os.NewFile(socketFD, "frontend")
	conn, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return fmt.Errorf("this command is started by vmm session --screen alone: %w", err)
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("this command is started by vmm session --screen alone")
	}
	g := &guard{n: n, c: &tty{n, os.NewFile(ttyFD, path(n))}, conn: u, signals: signals}
	parent := os.Getppid()
	err = g.run()
	u.Close()
	if g.orphaned {
		awaitEnd(parent)
	}
	return errors.Join(err, g.restore())
}

// awaitEnd waits until a process is gone.
func awaitEnd(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it is gone
	}
	defer unix.Close(fd)
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for end := time.Now().Add(dyingTime); ; {
		left := time.Until(end)
		if _, err := unix.Poll(fds, int(max(left, 0).Milliseconds())); err != unix.EINTR || left <= 0 {
			return
		}
	}
}

// guard holds a terminal for a frontend.
type guard struct {
	n        int
	c        console
	conn     *net.UnixConn
	signals  <-chan os.Signal
	orphaned bool // the frontend went without a word

	before int // the terminal that was on the screen
	kbMode int // that the terminal's keyboard had
	held   bool
}

// hold takes the terminal.
func (g *guard) hold() (err error) {
	if g.before, err = g.c.active(); err != nil {
		return err
	}
	if g.kbMode, err = g.c.keyboard(); err != nil {
		return err
	}
	g.held = true
	if err := errors.Join(g.c.setProcess(true), g.c.setKeyboard(kbOff), g.c.setGraphics(true)); err != nil {
		return err
	}
	if g.before != g.n {
		return g.c.activate(g.n)
	}
	return nil
}

func (g *guard) say(b ...byte) { _, _ = g.conn.Write(b) } // a frontend that is gone shows where it is listened to

// run holds the terminal until the frontend wants it to end, or is gone.
func (g *guard) run() error {
	if err := g.hold(); err != nil {
		text := err.Error()
		g.say(append([]byte{saysFailed}, text[:min(len(text), maxSaid-1)]...)...)
		return err
	}
	g.say(saysReady)
	if g.before == g.n {
		g.say(saysAcquired)
	}
	heard := make(chan []byte)
	done := make(chan struct{})
	defer close(done)
	go func() {
		defer close(heard)
		for {
			b := make([]byte, 8)
			n, err := g.conn.Read(b)
			if err != nil || n == 0 {
				return
			}
			select {
			case heard <- b[:n]:
			case <-done:
				return
			}
		}
	}()
	var late <-chan time.Time // the frontend has not answered in time
	for {
		select {
		case s := <-g.signals:
			if s == acquireSignal {
				_ = g.c.reply(vtAckAcq)
				g.say(saysAcquired)
			} else {
				g.say(saysRelease)
				late = time.After(releaseTime)
			}
		case <-late:
			late = nil
			_ = g.c.reply(1)
		case b, ok := <-heard:
			switch {
			case !ok:
				g.orphaned = true
				return nil
			case b[0] == saysEnd:
				return nil
			case b[0] == saysReleased && late != nil:
				late = nil
				_ = g.c.reply(1)
			case b[0] == saysSwitch && len(b) == 2:
				_ = g.c.activate(int(b[1])) // where there is no such terminal nothing happens
			}
		}
	}
}

// restore gives the terminal back.
func (g *guard) restore() error {
	if !g.held {
		return nil
	}
	return restore(g.c, g.n, g.before, g.kbMode)
}

// restore gives terminal n back to the kernel, and the screen to the terminal that had it before.
func restore(c console, n, before, kbMode int) error {
	if kbMode == kbOff || kbMode == kbRaw || kbMode == kbMediumRaw { // left by somebody who crashed
		kbMode = kbUnicode
	}
	back := func() error { return errors.Join(c.setProcess(false), c.setKeyboard(kbMode), c.setGraphics(false)) }
	err := back()
	if err != nil {
		if err = c.reopen(); err == nil {
			err = back()
		}
	}
	if now, e := c.active(); before != n && e == nil && now == n {
		err = errors.Join(err, c.activate(before))
	}
	return err
}
