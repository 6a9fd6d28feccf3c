package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"github.com/sharevm/vmm/images/nested/wire"
	"golang.org/x/sys/unix"
)

// What a shell reports for a command that can't be run.
const (
	statusNotExecutable = 126
	statusNotFound      = 127
)

// command is the one command, while it runs.
type command struct {
	process *os.Process
	master  *os.File // of its terminal, or nil
	input   *wire.Sink
	output  [wire.Streams]*wire.Source // Stdout and Stderr; nil where the terminal carries the stream
	exited  *os.File                   // reads as ended once the command has ended
	beats   chan struct{}
}

// runCommand runs the command to its end. A command that can't be started is no error but an exit status.
func runCommand(start wire.Start, in *wire.Reader, out *wire.Writer) (wire.Exit, error) {
	exited, exit, err := os.Pipe()
	if err != nil {
		return wire.Exit{}, err
	}
	c := &command{input: wire.NewSink(out, wire.Stdin), exited: exited, beats: make(chan struct{}, 1)}
	go walk(c.beats)
	ends, err := c.open(start.Terminal, out)
	if err != nil {
		return wire.Exit{}, err
	}
	if status, err := c.start(start, ends); err != nil {
		_ = out.Write(wire.Frame{Kind: wire.KindData, Stream: wire.Stderr, Payload: []byte("vmm nested: " + err.Error() + "\n")})
		return wire.Exit{Code: status}, nil
	}
	for _, f := range ends.child {
		f.Close()
	}
	go func() {
		_ = c.input.Copy(ends.stdin)
		if ends.stdin != c.master {
			ends.stdin.Close()
		}
	}()
	var copies sync.WaitGroup
	for i, src := range c.output {
		if src == nil {
			continue
		}
		copies.Go(func() {
			_ = src.Copy(drained{ends.from[i], exited})
			if ends.from[i] != c.master {
				ends.from[i].Close() // whoever still writes now gets SIGPIPE
			}
		})
	}
	lost := make(chan error, 1)
	go func() { lost <- c.listen(in) }()
	done := make(chan syscall.WaitStatus, 1)
	go func() { done <- reap(c.process.Pid) }()
	select {
	case err := <-lost:
		return wire.Exit{}, fmt.Errorf("the connection to the host broke: %w", err)
	case ws := <-done:
		exit.Close()
		copies.Wait()
		if ws.Signaled() {
			return wire.Exit{Signal: int(ws.Signal())}, nil
		}
		return wire.Exit{Code: ws.ExitStatus()}, nil
	}
}

// ends are the files at both ends of the command's streams.
type ends struct {
	child    [wire.Streams]*os.File // what the command gets; one terminal may be there several times
	terminal int                    // a descriptor of the command that is its terminal, or -1
	stdin    *os.File               // where its input goes
	from     [wire.Streams]*os.File // where its output comes from
}

// open makes the terminal and the pipes.
func (c *command) open(t *wire.Terminal, out *wire.Writer) (ends, error) {
	e := ends{terminal: -1}
	var slave *os.File
	if t != nil {
		var err error
		if c.master, slave, err = openTerminal(t); err != nil {
			return e, err
		}
	}
	for i := range e.child {
		if t != nil && t.On[i] {
			e.child[i], e.terminal = slave, i
			if i == wire.Stdin {
				e.stdin = c.master
			} else if c.output[wire.Stdout] == nil || e.from[wire.Stdout] != c.master {
				e.from[i], c.output[i] = c.master, wire.NewSource(out, uint8(i))
			}
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			return e, err
		}
		if i == wire.Stdin {
			e.child[i], e.stdin = r, w
		} else {
			e.child[i], e.from[i], c.output[i] = w, r, wire.NewSource(out, uint8(i))
		}
	}
	return e, nil
}

// start starts the command in a session of its own. When it can't, the status is the one that a shell would report.
func (c *command) start(start wire.Start, e ends) (status int, err error) {
	if err := os.Chdir(start.Dir); err != nil {
		return statusNotExecutable, err
	}
	for _, kv := range start.Env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			os.Setenv("PATH", path)
		}
	}
	path, err := exec.LookPath(start.Args[0])
	switch {
	case errors.Is(err, exec.ErrDot):
		err = nil // the user's PATH holds the current folder; that is the user's choice
	case errors.Is(err, fs.ErrPermission):
		return statusNotExecutable, err
	case err != nil:
		return statusNotFound, err
	}
	attr := &syscall.SysProcAttr{Setsid: true, Setctty: e.terminal >= 0, Ctty: max(e.terminal, 0)}
	c.process, err = os.StartProcess(path, start.Args, &os.ProcAttr{Env: start.Env, Files: e.child[:], Sys: attr})
	if err != nil {
		return statusNotExecutable, err
	}
	return 0, nil
}

// reap waits for the command and, as a first process must, for every orphan on the way.
func reap(pid int) syscall.WaitStatus {
	for {
		var ws syscall.WaitStatus
		got, err := syscall.Wait4(-1, &ws, 0, nil)
		if err == nil && got == pid && (ws.Exited() || ws.Signaled()) {
			return ws
		}
	}
}

// listen obeys the host until the connection breaks.
func (c *command) listen(in *wire.Reader) error {
	for {
		f, err := in.Read()
		if err == nil {
			err = c.obey(f)
		}
		if err != nil {
			return err
		}
	}
}

func (c *command) obey(f wire.Frame) error {
	switch f.Kind {
	case wire.KindData:
		return c.input.Put(f.Payload)
	case wire.KindEOF:
		c.input.End()
	case wire.KindCredit, wire.KindClosed:
		src := c.output[f.Stream]
		if src == nil {
			return fmt.Errorf("%w: kind %d for stream %d", wire.ErrMalformed, f.Kind, f.Stream)
		}
		if f.Kind == wire.KindClosed {
			src.Close()
			return nil
		}
		n, err := f.Uint32()
		if err != nil {
			return err
		}
		return src.Credit(n)
	case wire.KindSignal:
		n, err := f.Uint32()
		if err != nil {
			return err
		}
		c.signal(unix.Signal(n))
	case wire.KindResize:
		var s wire.Size
		if err := f.Decode(&s); err != nil {
			return err
		}
		if c.master != nil {
			resize(c.master, s)
		}
	case wire.KindBeat:
		select {
		case c.beats <- struct{}{}:
		default: // the last one is still on its way
		}
	default:
		return fmt.Errorf("%w: unexpected kind %d", wire.ErrMalformed, f.Kind)
	}
	return nil
}

// signal passes a signal on. Those that a terminal's keys make go to the whole group, as they would there. A command that has just
// ended can't be signalled, which is no error.
func (c *command) signal(s unix.Signal) {
	pid := c.process.Pid
	switch s {
	case unix.SIGINT, unix.SIGQUIT, unix.SIGHUP:
		pid = -pid
	}
	_ = unix.Kill(pid, s)
}

// drained reads a pipe or a terminal until its end, or until the command has ended and nothing is left in it: a child that lives on
// in the background may hold the other end open for ever.
type drained struct {
	f      *os.File
	exited *os.File
}

func (d drained) Read(b []byte) (int, error) {
	fds := []unix.PollFd{{Fd: int32(d.f.Fd()), Events: unix.POLLIN}, {Fd: int32(d.exited.Fd())}}
	for {
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return 0, err
		}
		if fds[0].Revents != 0 {
			return d.f.Read(b)
		}
		return 0, io.EOF
	}
}
