package guesttest

import (
	"bytes"
	"io"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"
)

// terminal is a machine whose serial console shows screens rather than lines: what other people's programs draw there, without the escape sequences, each
// placement of the cursor being a new line.
type terminal struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	err   bytes.Buffer
	more  chan struct{} // has an element when text has grown

	mu    sync.Mutex
	text  []byte
	seen  int // how much of it has been waited for
	ended bool
}

// startTerminal runs the machine of the file.
func (f *machineFile) startTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	x := &terminal{t: t, cmd: exec.Command(vmmBin, append(append([]string{"run", "--allow-outside"}, args...), f.write(t))...), more: make(chan struct{}, 1)}
	x.cmd.Stderr = &x.err
	var err error
	if x.stdin, err = x.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := x.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go x.read(out)
	t.Cleanup(func() {
		_ = x.cmd.Process.Kill()
		_ = x.cmd.Wait()
		if t.Failed() {
			x.mu.Lock()
			defer x.mu.Unlock()
			t.Logf("console:\n%s\nstandard error:\n%s", x.text, x.err.String())
		}
	})
	return x
}

// escapes are the control sequences of a VT100, those that place the cursor first.
var (
	placements = regexp.MustCompile("\x1b\\[[0-9;]*[Hf]")
	escapes    = regexp.MustCompile("\x1b(\\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[78=>cDEM])")
)

func (x *terminal) read(out io.Reader) {
	var raw []byte
	b := make([]byte, 4096)
	for {
		n, err := out.Read(b)
		raw = append(raw, b[:n]...)
		text := escapes.ReplaceAll(placements.ReplaceAll(raw, []byte("\n")), nil)
		x.mu.Lock()
		x.text, x.ended = text, err != nil
		x.mu.Unlock()
		select {
		case x.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// await waits for text that matches, after what was waited for before, and returns its submatches.
func (x *terminal) await(pattern string) []string {
	x.t.Helper()
	re := regexp.MustCompile(pattern)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		x.mu.Lock()
		x.seen = min(x.seen, len(x.text)) // half of an escape sequence may have been taken for text
		m := re.FindSubmatchIndex(x.text[x.seen:])
		if m != nil {
			var all []string
			for i := 0; i < len(m); i += 2 {
				all = append(all, string(x.text[x.seen+m[i]:x.seen+m[i+1]]))
			}
			x.seen += m[1]
			x.mu.Unlock()
			return all
		}
		ended := x.ended
		x.mu.Unlock()
		if ended {
			x.t.Fatalf("the machine ended before it showed %q", pattern)
		}
		select {
		case <-x.more:
			timer.Reset(limit)
		case <-timer.C:
			x.t.Fatalf("no %q within %v", pattern, limit)
		}
	}
}

// end waits for the machine to end by itself, with status 0.
func (x *terminal) end() {
	x.t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		x.mu.Lock()
		ended := x.ended
		x.mu.Unlock()
		if ended {
			break
		}
		select {
		case <-x.more:
		case <-timer.C:
			x.t.Fatalf("the machine did not end within %v", limit)
		}
	}
	if err := x.cmd.Wait(); err != nil {
		x.t.Errorf("vmm run: %v", err)
	}
}

// enter types keys, and then the one that ends a line.
func (x *terminal) enter(keys string) { x.press(keys + "\r") }

func (x *terminal) press(keys string) {
	x.t.Helper()
	if _, err := io.WriteString(x.stdin, keys); err != nil {
		x.t.Fatal(err)
	}
}
