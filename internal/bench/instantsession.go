package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How long a first start may take, with the snapshot that is made after it, and one from it: several times what they take in the nested host on a busy machine.
const (
	firstLimit = 15 * time.Minute
	againLimit = 3 * time.Minute
	// keyLimit is how long the page may take to answer a key. A processor that is emulated goes through all of the browser's code anew after each restore.
	keyLimit = time.Minute
	// pageRests is how long the picture of a machine that is ready has to stay as it is.
	pageRests = 2 * time.Second
	// restLook is how often that is looked at.
	restLook = 100 * time.Millisecond
)

// What a session says.
const (
	saidUp     = "the screen is shown"
	saidReady  = "is started once more in the background" // the machine was ready, and had no snapshot that fits
	saidMade   = "starts instantly from now on"
	saidAnew   = "starts anew"
	saidNoTwin = "no snapshot for instant starts"
	// stepRestored is on the timeline of a machine that goes on from a snapshot, and of no other.
	stepRestored = "processors restored"
)

// instantSession is a session with one machine that a viewer looks at.
type instantSession struct {
	cmd    *exec.Cmd
	began  time.Time
	up     time.Duration // the session says where its screen is, from the command on: until then the nested host boots
	out    io.ReadCloser
	screen *viewer
	words  chan words // closed at the end of the session
	last   tail
	steps  map[string]time.Duration // of the machine's timeline
}

// words is a line that a session said.
type words struct {
	text string
	at   time.Duration // since the command
}

// start gives the command, and looks at the session as soon as it says where.
func (b *instantBench) start(ctx context.Context, w way, m *instantMachine) (s *instantSession, err error) {
	at, err := freePort()
	if err != nil {
		return nil, err
	}
	s = &instantSession{words: make(chan words, 1<<12), steps: map[string]time.Duration{}}
	s.cmd = exec.CommandContext(ctx, b.program, "session", w.option, "--vnc="+at, "--run-option=--timeline", "--run-option=--no-log", m.vmx)
	s.cmd.Env = b.env
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	if s.out, err = s.cmd.StderrPipe(); err != nil {
		return nil, err
	}
	s.began = time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go s.listen()
	defer func() {
		if err != nil {
			s.end()
		}
	}()
	if s.up, err = s.says(saidUp); err != nil {
		return s, err
	}
	deadline, _ := ctx.Deadline()
	if s.screen, err = dialViewer(at, deadline); err != nil {
		return s, s.why(err)
	}
	return s, nil
}

// freePort is an address of the loopback at which nobody listens.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *instantSession) listen() {
	defer close(s.words)
	for lines := bufio.NewScanner(s.out); lines.Scan(); {
		s.words <- words{lines.Text(), time.Since(s.began)}
	}
}

// hear takes a line in. It errs where that says that the session will not do what it was started for.
func (s *instantSession) hear(w words) error {
	s.last.add(w.text)
	_, text, _ := strings.Cut(w.text, ": ") // without the machine's name
	if m := timelineStep.FindStringSubmatch(text); m != nil {
		if ms, err := strconv.ParseFloat(m[1], 64); err == nil {
			s.steps[m[3]] = time.Duration(ms * float64(time.Millisecond))
		}
	}
	if strings.Contains(w.text, saidAnew) || strings.Contains(w.text, saidNoTwin) {
		return errors.New(w.text)
	}
	return nil
}

// says waits until the session says something, and returns when that was, from the command on.
func (s *instantSession) says(what string) (time.Duration, error) {
	for w := range s.words {
		if err := s.hear(w); err != nil {
			return 0, err
		}
		if strings.Contains(w.text, what) {
			return w.at, nil
		}
	}
	return 0, fmt.Errorf("the session ended before it said %q; its last words: %v", what, &s.last)
}

// hasSaid says whether the session has said something by now.
func (s *instantSession) hasSaid(what string) (bool, error) {
	for {
		select {
		case w, ok := <-s.words:
			if !ok {
				return false, fmt.Errorf("the session ended; its last words: %v", &s.last)
			}
			if err := s.hear(w); err != nil {
				return false, err
			}
			if strings.Contains(w.text, what) {
				return true, nil
			}
		default:
			return false, nil
		}
	}
}

// settle waits until the machine is ready and its picture at rest. It returns that picture, and when the viewer had it for the first time, from the command on.
func (s *instantSession) settle() (page rest, painted time.Duration, err error) {
	seen := map[uint64]time.Duration{} // when a picture, known by its hash, was seen first
	ready := false
	var since time.Time // the picture has been as it is, and the machine ready
	deadline := s.began.Add(firstLimit)
	for {
		idle, err := s.screen.idle(time.Now().Add(restLook), deadline)
		if err != nil {
			return page, 0, err
		}
		if !idle {
			if err := s.screen.next(); err != nil {
				return page, 0, err
			}
			if hash := s.screen.hash(); seen[hash] == 0 {
				seen[hash] = time.Since(s.began)
			}
		}
		if !ready {
			if ready, err = s.hasSaid(saidReady); err != nil {
				return page, 0, err
			}
		}
		if !ready {
			continue
		}
		if !page.look(s.screen.pixels) {
			since = time.Now()
		}
		if time.Since(since) >= pageRests {
			page.pixels = append(page.pixels[:0], s.screen.pixels...)
			return page, seen[s.screen.hash()], nil
		}
	}
}

// typed presses a key, and returns when the page is another for that, from the command on.
func (s *instantSession) typed(page *rest) (time.Duration, error) {
	if err := errors.Join(s.screen.conn.SetDeadline(time.Now().Add(keyLimit)), s.screen.key('a')); err != nil {
		return 0, err
	}
	if err := s.screen.await(func(v *viewer) bool { return !page.exactly(v.pixels) }); err != nil {
		return 0, err
	}
	return time.Since(s.began), nil
}

// why adds what the session said last to an error of its viewer's.
func (s *instantSession) why(err error) error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	for w := range s.words {
		_ = s.hear(w)
	}
	return fmt.Errorf("%w; the session's last words: %v", err, &s.last)
}

// finish ends the session and takes in what it says until it is gone.
func (s *instantSession) finish() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	for w := range s.words {
		if err := s.hear(w); err != nil {
			return err
		}
	}
	return nil
}

// step is when the machine's timeline has a step, from the command on; 0 where it has none.
func (s *instantSession) step(name string) time.Duration { return s.steps[name] }

// end ends the session, however far it is.
func (s *instantSession) end() {
	if s.screen != nil {
		s.screen.close()
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	for range s.words {
	}
	_ = s.cmd.Wait() // a signal ended it
}
