package nested

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/sharevm/vmm/images/nested/wire"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// session is the host's end of the conversation with the agent.
type session struct {
	in       *wire.Reader
	out      *wire.Writer
	files    [wire.Streams]*os.File
	terminal *wire.Terminal
	source   *wire.Source             // Stdin
	sinks    [wire.Streams]*wire.Sink // Stdout and Stderr
}

func newSession(conn io.ReadWriter, stdin, stdout, stderr *os.File) *session {
	s := &session{in: wire.NewReader(conn), out: wire.NewWriter(conn)}
	s.files = [wire.Streams]*os.File{stdin, stdout, stderr}
	s.terminal = terminal(stdin, stdout, stderr)
	s.source = wire.NewSource(s.out, wire.Stdin)
	s.sinks[wire.Stdout] = wire.NewSink(s.out, wire.Stdout)
	s.sinks[wire.Stderr] = wire.NewSink(s.out, wire.Stderr)
	return s
}

// hello waits for the agent.
func (s *session) hello() (wire.Hello, error) {
	f, err := s.in.Read()
	if err != nil {
		return wire.Hello{}, err
	}
	if f.Kind != wire.KindHello {
		return wire.Hello{}, fmt.Errorf("%w: kind %d where a greeting was due", wire.ErrMalformed, f.Kind)
	}
	var h wire.Hello
	return h, f.Decode(&h)
}

// run starts the command and serves it to its end.
func (s *session) run(start wire.Start) (wire.Exit, error) {
	start.Terminal = s.terminal
	if err := s.out.WriteStart(start); err != nil {
		return wire.Exit{}, err
	}
	if s.terminal != nil && s.terminal.On[wire.Stdin] {
		fd := int(s.files[wire.Stdin].Fd())
		old, err := term.MakeRaw(fd)
		if err != nil {
			return wire.Exit{}, fmt.Errorf("setting the terminal: %w", err)
		}
		defer term.Restore(fd, old)
	}
	stop := s.forwardSignals()
	defer stop()
	alive := s.beat()
	defer alive()
	go s.source.Copy(s.files[wire.Stdin]) // a broken connection shows in the reads below
	var copies sync.WaitGroup
	for i, sink := range s.sinks {
		if sink != nil {
			copies.Go(func() { _ = sink.Copy(s.files[i]) })
		}
	}
	exit, err := s.listen()
	for _, sink := range s.sinks {
		if sink != nil {
			sink.End()
		}
	}
	copies.Wait()
	s.source.Close()
	return exit, err
}

// beatInterval is how long a guest may sleep over an interrupt that it has missed.
const beatInterval = 500 * time.Millisecond

// beat sends the guest a frame now and then until the returned function is called. Under emulation its kernel once in some hundred boots of
// inner guests loses a timer interrupt on the way into sleep, and then sleeps until another interrupt comes: minutes, if none does.
func (s *session) beat() (stop func()) {
	ended := make(chan struct{})
	go func() {
		t := time.NewTicker(beatInterval)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				if s.out.Write(wire.Frame{Kind: wire.KindBeat}) != nil {
					return // a broken connection shows where frames are read
				}
			case <-ended:
				return
			}
		}
	}()
	return func() { close(ended) }
}

// errGuest is what listen wraps when the agent itself says that it failed.
var errGuest = errors.New("the guest failed")

// listen takes the agent's frames until the command has ended.
func (s *session) listen() (wire.Exit, error) {
	for {
		f, err := s.in.Read()
		if err != nil {
			return wire.Exit{}, err
		}
		switch f.Kind {
		case wire.KindExit:
			var e wire.Exit
			return e, f.Decode(&e)
		case wire.KindFailure:
			return wire.Exit{}, fmt.Errorf("%w: %s", errGuest, f.Payload)
		}
		if err := s.obey(f); err != nil {
			return wire.Exit{}, err
		}
	}
}

func (s *session) obey(f wire.Frame) error {
	sink := s.sinks[f.Stream]
	switch f.Kind {
	case wire.KindData, wire.KindEOF:
		if sink == nil {
			return fmt.Errorf("%w: data for stream %d", wire.ErrMalformed, f.Stream)
		}
		if f.Kind == wire.KindEOF {
			sink.End()
			return nil
		}
		return sink.Put(f.Payload)
	case wire.KindCredit:
		n, err := f.Uint32()
		if err != nil {
			return err
		}
		return s.source.Credit(n)
	case wire.KindClosed:
		s.source.Close()
		return nil
	}
	return fmt.Errorf("%w: unexpected kind %d", wire.ErrMalformed, f.Kind)
}

// forwardSignals passes signals on to the command until the returned function is called.
func (s *session) forwardSignals() (stop func()) {
	signals := make(chan os.Signal, 16)
	// SIGPIPE is only caught: a consumer that has gone is for the command to notice, by its own stream.
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGPIPE)
	var done sync.WaitGroup
	done.Go(func() {
		for sig := range signals {
			switch n := sig.(syscall.Signal); n {
			case unix.SIGPIPE:
			case unix.SIGWINCH:
				if s.terminal != nil {
					_ = s.out.WriteMessage(wire.KindResize, s.size())
				}
			default:
				_ = s.out.WriteUint32(wire.KindSignal, 0, uint32(n))
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(signals)
		done.Wait()
	}
}

// size is that of whatever shows the terminal's output.
func (s *session) size() wire.Size {
	if s.terminal.On[wire.Stdout] {
		return size(s.files[wire.Stdout])
	}
	return size(s.files[wire.Stderr])
}
