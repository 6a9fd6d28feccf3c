package vt

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// frontendEnv has this test's program be a frontend that is about to be killed.
const frontendEnv = "VMM_VT_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(frontendEnv) != "" {
		fmt.Println("up")
		time.Sleep(time.Minute) // a select without cases would be a deadlock, which the runtime ends
	}
	goleak.VerifyTestMain(m)
}

// fakeConsole notes what is done to it.
type fakeConsole struct {
	mu    sync.Mutex
	did   []string
	on    int // the terminal that is on the screen
	mode  int
	hung  bool // up
	fails string
}

func (f *fakeConsole) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := fmt.Sprintf(format, args...)
	if f.hung {
		return unix.EIO
	}
	if s == f.fails {
		return unix.EPERM
	}
	f.did = append(f.did, s)
	return nil
}

func (f *fakeConsole) take() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := strings.Join(f.did, ", ")
	f.did = nil
	return s
}

func (f *fakeConsole) active() (int, error)       { return f.on, nil }
func (f *fakeConsole) keyboard() (int, error)     { return f.mode, nil }
func (f *fakeConsole) setKeyboard(mode int) error { return f.note("keyboard %d", mode) }
func (f *fakeConsole) setGraphics(on bool) error  { return f.note("graphics %v", on) }
func (f *fakeConsole) setProcess(on bool) error   { return f.note("process %v", on) }
func (f *fakeConsole) reply(arg int) error        { return f.note("reply %d", arg) }
func (f *fakeConsole) activate(n int) error       { return f.note("activate %d", n) }
func (f *fakeConsole) reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hung = false
	f.did = append(f.did, "reopen")
	return nil
}

// rig is a guard and a frontend's end of its socket.
type rig struct {
	t       *testing.T
	c       *fakeConsole
	g       *guard
	conn    *net.UnixConn
	signals chan os.Signal
	ended   chan error
}

func newRig(t *testing.T, c *fakeConsole) *rig {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "")
		conn, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = conn.(*net.UnixConn)
		t.Cleanup(func() { conn.Close() })
	}
	r := &rig{t: t, c: c, conn: ends[0], signals: make(chan os.Signal, 4), ended: make(chan error, 1)}
	r.g = &guard{n: 7, c: c, conn: ends[1], signals: r.signals}
	go func() { r.ended <- errors.Join(r.g.run(), r.g.restore(), ends[1].Close()) }()
	return r
}

func (r *rig) hears(want string) {
	r.t.Helper()
	b := make([]byte, maxSaid)
	if err := r.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	n, err := r.conn.Read(b)
	if err != nil || string(b[:n]) != want {
		r.t.Fatalf("heard %q, want %q (%v)", b[:n], want, err)
	}
}

func (r *rig) says(s string) {
	r.t.Helper()
	if _, err := r.conn.Write([]byte(s)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) did(want string) {
	r.t.Helper()
	got := ""
	for end := time.Now().Add(10 * time.Second); got != want && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if s := r.c.take(); s != "" {
			got = strings.TrimPrefix(got+", "+s, ", ")
		}
	}
	if got != want {
		r.t.Fatalf("it did %q, want %q", got, want)
	}
}

const holding = "process true, keyboard 4, graphics true"

// TestSwitch takes a terminal that is not on the screen, and switches to and fro.
func TestSwitch(t *testing.T) {
	r := newRig(t, &fakeConsole{on: 1, mode: kbUnicode})
	r.hears("k")
	r.did(holding + ", activate 7")
	r.signals <- acquireSignal
	r.hears("a")
	r.did("reply 2")
	r.c.on = 7
	r.says("s\x02")
	r.did("activate 2")
	r.says("d") // nobody has asked for it
	r.signals <- releaseSignal
	r.hears("r")
	r.says("d")
	r.did("reply 1")
	r.signals <- releaseSignal // and the frontend hangs
	r.hears("r")
	r.did("reply 1")
	r.says("e")
	if err := <-r.ended; err != nil || r.g.orphaned {
		t.Error(err, r.g.orphaned)
	}
	r.did("process false, keyboard 3, graphics false, activate 1")
}

// TestOrphan has the frontend go without a word, after which the kernel has hung up the terminal, where a crash before had left the keyboard off.
func TestOrphan(t *testing.T) {
	r := newRig(t, &fakeConsole{on: 7, mode: kbOff})
	r.hears("k")
	r.hears("a")
	r.did(holding)
	r.c.mu.Lock()
	r.c.hung = true
	r.c.mu.Unlock()
	r.conn.Close()
	if err := <-r.ended; err != nil || !r.g.orphaned {
		t.Error(err, r.g.orphaned)
	}
	r.did("reopen, process false, keyboard 3, graphics false")
}

// TestNotOurs holds a console that belongs to others: what has been changed is restored.
func TestNotOurs(t *testing.T) {
	r := newRig(t, &fakeConsole{on: 7, mode: kbUnicode, fails: "graphics true"})
	r.hears("foperation not permitted")
	if err := <-r.ended; err == nil {
		t.Error("no error")
	}
	r.did("process true, keyboard 4, process false, keyboard 3, graphics false")
}

// TestAwaitEnd waits for a process that is killed.
func TestAwaitEnd(t *testing.T) {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), frontendEnv+"=1")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		awaitEnd(c.Process.Pid)
		close(done)
	}()
	select {
	case <-done:
		t.Error("it did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	_ = c.Process.Kill()
	<-done
	_ = c.Wait()
	awaitEnd(c.Process.Pid) // of nobody
}

// TestGuardAlone runs the guard's command as a user might.
func TestGuardAlone(t *testing.T) {
	for _, n := range []string{"", "x", "0", "64"} {
		if err := Guard(n); err == nil {
			t.Errorf("terminal %q", n)
		}
	}
	signal.Reset()
}
