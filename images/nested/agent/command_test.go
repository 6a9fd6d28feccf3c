package agent

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/sharevm/vmm/images/nested/wire"
	"golang.org/x/sys/unix"
)

// outcome is what a host sees of a command.
type outcome struct {
	exit   wire.Exit
	stdout []byte
	stderr []byte
}

// host plays the host's side against runCommand, without a machine in between. onOutput may react to all that has come on standard output so
// far.
func host(t *testing.T, start wire.Start, stdin io.Reader, onOutput func(w *wire.Writer, all []byte)) outcome {
	t.Helper()
	downR, downW := io.Pipe()
	upR, upW := io.Pipe()
	down := wire.NewWriter(downW)
	source := wire.NewSource(down, wire.Stdin)
	go source.Copy(stdin)
	var got outcome
	var listening sync.WaitGroup
	listening.Go(func() {
		for in := wire.NewReader(upR); ; {
			f, err := in.Read()
			if err != nil {
				return
			}
			switch f.Kind {
			case wire.KindData:
				if f.Stream == wire.Stderr {
					got.stderr = append(got.stderr, f.Payload...)
				} else {
					got.stdout = append(got.stdout, f.Payload...)
					if onOutput != nil {
						onOutput(down, got.stdout)
					}
				}
				down.WriteUint32(wire.KindCredit, f.Stream, uint32(len(f.Payload)))
			case wire.KindCredit:
				n, err := f.Uint32()
				if err == nil {
					err = source.Credit(n)
				}
				if err != nil {
					t.Error(err)
				}
			case wire.KindClosed:
				source.Close()
			}
		}
	})
	if start.Dir == "" {
		start.Dir = "/"
	}
	if start.Env == nil {
		start.Env = []string{"PATH=/usr/bin:/bin"}
	}
	exit, err := runCommand(start, wire.NewReader(downR), wire.NewWriter(upW))
	if err != nil {
		t.Error(err)
	}
	downR.CloseWithError(errors.New("the command has ended"))
	upW.Close()
	listening.Wait()
	got.exit = exit
	return got
}

func shell(script string) wire.Start { return wire.Start{Args: []string{"sh", "-c", script}} }

func TestCommandStatus(t *testing.T) {
	t.Chdir("/")
	for name, c := range map[string]struct {
		start wire.Start
		want  int
	}{
		"success":        {shell("exit 0"), 0},
		"status":         {shell("exit 7"), 7},
		"killed":         {shell("kill -9 $$"), 128 + 9},
		"not found":      {wire.Start{Args: []string{"no-such-command"}}, 127},
		"no such file":   {wire.Start{Args: []string{"/no/such/file"}}, 127},
		"not executable": {wire.Start{Args: []string{"/etc/passwd"}}, 126},
		"no folder":      {wire.Start{Args: []string{"true"}, Dir: "/no/such/folder"}, 126},
	} {
		got := host(t, c.start, strings.NewReader(""), nil)
		if got.exit.Status() != c.want {
			t.Errorf("%s: status %d instead of %d; it said %q", name, got.exit.Status(), c.want, got.stderr)
		}
		if c.want > 125 && c.want < 128 && len(got.stderr) == 0 {
			t.Errorf("%s: not a word why", name)
		}
	}
}

func TestCommandStreams(t *testing.T) {
	t.Chdir("/")
	in := bytes.Repeat([]byte("\x00\x04\xff binary \r\n"), 100_000)
	got := host(t, shell("cat; echo done >&2"), bytes.NewReader(in), nil)
	if !bytes.Equal(got.stdout, in) || string(got.stderr) != "done\n" || got.exit.Status() != 0 {
		t.Errorf("%d bytes of %d, %q, %v", len(got.stdout), len(in), got.stderr, got.exit)
	}
}

func TestCommandThatLeavesSomebodyBehind(t *testing.T) {
	t.Chdir("/")
	// The child holds standard output open for longer than any test may take.
	got := host(t, shell("sleep 1000 & echo $!; exit 3"), strings.NewReader(""), nil)
	if got.exit.Status() != 3 || len(got.stdout) == 0 {
		t.Errorf("%v, %q", got.exit, got.stdout)
	}
	if p := strings.TrimSpace(string(got.stdout)); p != "" {
		host(t, shell("kill "+p), strings.NewReader(""), nil)
	}
}

func TestCommandWhoseOutputNobodyReads(t *testing.T) {
	t.Chdir("/")
	told := false
	got := host(t, shell("exec yes"), strings.NewReader(""), func(w *wire.Writer, _ []byte) {
		if !told {
			told = true
			w.Write(wire.Frame{Kind: wire.KindClosed, Stream: wire.Stdout})
		}
	})
	if got.exit.Signal != int(unix.SIGPIPE) {
		t.Errorf("ended by %+v instead of SIGPIPE", got.exit)
	}
}

func TestSignalsReachTheCommand(t *testing.T) {
	t.Chdir("/")
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGUSR2} {
		name := strings.TrimPrefix(unix.SignalName(sig), "SIG")
		told := false
		got := host(t, shell("trap 'echo caught; exit 5' "+name+"; echo ready; while :; do sleep 0.01; done"), strings.NewReader(""),
			func(w *wire.Writer, all []byte) {
				if !told && bytes.Contains(all, []byte("ready\n")) {
					told = true
					w.WriteUint32(wire.KindSignal, 0, uint32(sig))
				}
			})
		if got.exit.Status() != 5 || string(got.stdout) != "ready\ncaught\n" {
			t.Errorf("%v: %v, %q", sig, got.exit, got.stdout)
		}
	}
}

func TestTerminal(t *testing.T) {
	t.Chdir("/")
	if _, err := os.Stat("/dev/pts/ptmx"); err != nil {
		t.Skip("no pseudo terminals here:", err)
	}
	start := shell("stty size; read line; echo \"<$line>\"; test -t 2 && echo also >&2; read line; stty size")
	modes := unix.Termios{Iflag: unix.ICRNL, Oflag: unix.OPOST | unix.ONLCR, Lflag: unix.ICANON | unix.ISIG, Cflag: unix.CS8 | unix.CREAD | unix.B38400}
	modes.Cc[unix.VEOF] = 4
	start.Terminal = &wire.Terminal{On: [wire.Streams]bool{true, true, true}, Size: wire.Size{Rows: 11, Cols: 22}, Modes: modes}
	typed, keys := io.Pipe()
	step := 0
	got := host(t, start, typed, func(w *wire.Writer, all []byte) {
		switch {
		case step == 0 && bytes.Contains(all, []byte("11 22\r\n")):
			step++
			go keys.Write([]byte("hello\r"))
		case step == 1 && bytes.Contains(all, []byte("also\r\n")):
			step++
			w.WriteMessage(wire.KindResize, wire.Size{Rows: 33, Cols: 44})
			go keys.Write([]byte("\r"))
		}
	})
	if want := "11 22\r\n<hello>\r\nalso\r\n33 44\r\n"; string(got.stdout) != want || got.exit.Status() != 0 {
		t.Errorf("%q instead of %q, %v", got.stdout, want, got.exit)
	}
}
