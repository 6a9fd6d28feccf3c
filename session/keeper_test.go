package session

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/session/link"
	"github.com/sharevm/vmm/session/link/linktest"
)

// childEnv has this test's program be a machine's process or a session.
const childEnv = "VMM_SESSION_TEST"

// child is what a process does that the tests start: "polite" is a machine that powers off at the button, "deaf" one that does not, "busy" one that is that all the time, "session" keeps two machines.
func child(how string) int {
	if how == "session" {
		k := NewKeeper(Config{}, []Spec{spec("polite", false), spec("deaf", true)}, func(string) io.Writer { return os.Stdout })
		defer k.Close()
		_ = k.Run(context.Background(), time.Minute, nil)
		return 0
	}
	conn, err := net.FileConn(os.NewFile(LinkFD, "link"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	surface := display.NewSurface()
	mem, err := display.NewMemory("test", 4*640*480)
	if err != nil || surface.Show(mem, display.Geometry{Width: 640, Height: 480, Stride: 4 * 640}) != nil {
		return 1
	}
	off := make(chan struct{}, 16)
	s := link.Serve(conn.(*net.UnixConn), link.Machine{Surface: surface, Input: &input.Hub{}, Focus: func(bool) {}, Power: func(p link.Power) {
		if p == link.TakeAway || how == "polite" {
			off <- struct{}{}
		}
	}})
	s.SetState(link.Ready, "")
	fmt.Printf("pid %d\n", os.Getpid())
	if how == "busy" {
		go spin()
	}
	select {
	case <-off:
	case <-s.Done(): // the session is gone
	}
	return 0
}

// spec is a machine of a kind that child knows.
func spec(how string, disposable bool) Spec {
	return Spec{Name: how, Program: "/usr/bin/env", Args: []string{childEnv + "=" + how, "/proc/" + strconv.Itoa(os.Getpid()) + "/exe"}, Disposable: disposable}
}

// pids collects what machines print of their processes.
type pids struct {
	mu  sync.Mutex
	all []int
}

func (p *pids) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(string(b)) {
		var pid int
		if n, _ := fmt.Sscanf(line, "pid %d", &pid); n == 1 {
			p.all = append(p.all, pid)
		}
	}
	return len(b), nil
}

// wait waits until n processes have begun, and returns them in the order in which they did.
func (p *pids) wait(t *testing.T, n int) (all []int) {
	t.Helper()
	linktest.Eventually(t, fmt.Sprint(n, " processes"), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		all = append([]int(nil), p.all...)
		return len(all) >= n
	})
	return all
}

// isGone says whether a process has ended, though nobody may have asked yet how.
func isGone(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(state, "Z")
}

// kept is a keeper that runs.
type kept struct {
	*Keeper
	begun  [2]pids // of the first machine, and of the second
	stop   context.CancelFunc
	hurry  chan struct{}
	ran    chan struct{} // closed when Run has returned
	viewer *display.Viewer
}

func keep(t *testing.T, specs []Spec, patience time.Duration, prepare func(*Keeper)) *kept {
	t.Helper()
	k := &kept{hurry: make(chan struct{}), ran: make(chan struct{})}
	k.Keeper = NewKeeper(Config{}, specs, func(name string) io.Writer {
		for i := range specs {
			if specs[i].Name == name {
				return &k.begun[i]
			}
		}
		return io.Discard
	})
	k.lastPatience = 200 * time.Millisecond
	if prepare != nil {
		prepare(k.Keeper)
	}
	ctx, stop := context.WithCancel(t.Context())
	k.stop = stop
	go func() {
		defer close(k.ran)
		_ = k.Run(ctx, patience, k.hurry)
	}()
	k.viewer = k.Frontend("test").Surface.NewViewer()
	t.Cleanup(func() {
		stop()
		<-k.ran
		k.viewer.Close()
		k.Close()
	})
	return k
}

// picture says whether a machine's own picture is on the screen.
func (k *kept) picture() bool { return k.viewer.Update().Frame.Width == 640 }

// message says whether a text is, where there is no picture.
func (k *kept) message() bool { return k.viewer.Update().Frame.Width == messageWidth }

// TestKeeperEnds ends sessions whose machines power off, do not listen, or stand still: no process is left.
func TestKeeperEnds(t *testing.T) {
	const short, long = 100 * time.Millisecond, time.Hour
	failing := func(k *Keeper) { k.Suspend = func(context.Context, int) error { return errors.New("no room") } }
	saving := func(k *Keeper) {
		k.Suspend = func(_ context.Context, pid int) error { return syscall.Kill(pid, syscall.SIGTERM) }
	}
	stuck := func(k *Keeper) {
		k.Suspend = func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }
	}
	for _, test := range []struct {
		name     string
		how      string
		dispose  bool
		prepare  func(*Keeper)
		patience time.Duration
		stopped  bool // the process stands still
		hurry    bool
		powerOff bool
	}{
		{name: "button", how: "polite", patience: long},
		{name: "deaf", how: "deaf", patience: short},
		{name: "deaf and disposable", how: "deaf", dispose: true, patience: long},
		{name: "deaf in a hurry", how: "deaf", patience: long, hurry: true},
		{name: "hung", how: "polite", patience: short, stopped: true},
		{name: "hung in a hurry", how: "polite", patience: long, stopped: true, hurry: true},
		{name: "suspended", how: "deaf", prepare: saving, patience: long},
		{name: "not suspended", how: "polite", prepare: failing, patience: long},
		{name: "not suspended and deaf", how: "deaf", prepare: failing, patience: short},
		{name: "not suspended by its own wish", how: "polite", prepare: stuck, patience: long, powerOff: true},
		{name: "suspended in a hurry", how: "deaf", prepare: stuck, patience: long, hurry: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := spec(test.how, test.dispose)
			s.PowerOff = test.powerOff
			k := keep(t, []Spec{s}, test.patience, test.prepare)
			pid := k.begun[0].wait(t, 1)[0]
			if test.stopped {
				if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			k.stop()
			if test.hurry {
				close(k.hurry)
			}
			<-k.ran
			if !isGone(pid) {
				t.Error("the process is still there")
			}
		})
	}
}

// TestKilled kills either machine's process, in front and behind: the other one stays, and who is disposable comes back.
func TestKilled(t *testing.T) {
	k := keep(t, []Spec{spec("polite", false), spec("deaf", true)}, time.Hour, nil)
	first, second := k.begun[0].wait(t, 1)[0], k.begun[1].wait(t, 1)[0]
	linktest.Eventually(t, "the first machine", k.picture)

	_ = syscall.Kill(second, syscall.SIGKILL) // behind
	if again := k.begun[1].wait(t, 2)[1]; again == second {
		t.Error("it has not started again")
	}
	linktest.Eventually(t, "the first machine still", k.picture)
	_ = k.Turn(1)
	linktest.Eventually(t, "the second machine", k.picture)
	_ = syscall.Kill(k.begun[1].wait(t, 2)[1], syscall.SIGKILL) // in front
	k.begun[1].wait(t, 3)
	linktest.Eventually(t, "the second machine again", k.picture)

	_ = k.Turn(0)
	_ = syscall.Kill(first, syscall.SIGKILL)
	linktest.Eventually(t, "a text in its place", k.message)
	linktest.Eventually(t, "its end", func() bool { // its screen goes off before; Enter is not the session's until its process is gone
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.machines[0].remote == nil
	})
	if len(k.begun[0].wait(t, 1)) != 1 {
		t.Error("it has started by itself")
	}
	keys := k.Frontend("test").Input.NewSource()
	keys.Key(input.KeyEnter, true)
	keys.Key(input.KeyEnter, false)
	k.begun[0].wait(t, 2)
	linktest.Eventually(t, "the first machine by Enter", k.picture)

	k.stop()
	<-k.ran
	for _, pid := range append(k.begun[0].wait(t, 2), k.begun[1].wait(t, 3)...) {
		if !isGone(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
}

// TestRestart knows when machines start again by themselves.
func TestRestart(t *testing.T) {
	for _, test := range []struct {
		spec         Spec
		well, killed bool // it starts again after such an end
	}{
		{Spec{}, false, false}, {Spec{Disposable: true}, true, true}, {Spec{Disposable: true, Restart: RestartNever}, false, false},
		{Spec{Restart: RestartFailed}, false, true}, {Spec{Restart: RestartAlways}, true, true},
	} {
		if well, killed := test.spec.again(""), test.spec.again("its process was ended by killed"); well != test.well || killed != test.killed {
			t.Errorf("%+v: %v and %v", test.spec, well, killed)
		}
	}
	s := spec("polite", false)
	s.Restart = RestartFailed
	k := keep(t, []Spec{s}, time.Hour, nil)
	_ = syscall.Kill(k.begun[0].wait(t, 1)[0], syscall.SIGKILL)
	k.begun[0].wait(t, 2)
	linktest.Eventually(t, "its process", func() bool { return k.process(0) != nil })
	k.process(0).Remote.Power(link.PressButton)
	<-k.ran // its own end is for good
}

// TestWindows opens further windows of a machine. They come to the front, and go when their processes end; the machine itself starts again.
func TestWindows(t *testing.T) {
	machine := spec("polite", true)
	machine.Repeatable, machine.MoreArgs = true, machine.Args
	k := keep(t, []Spec{machine, spec("deaf", true)}, time.Hour, nil)
	k.begun[0].wait(t, 1)
	var more pids
	k.mu.Lock()
	k.out = func(string) io.Writer { return &more }
	k.mu.Unlock()
	linktest.Eventually(t, "the machine", k.picture)
	present := func() int {
		k.Session.mu.Lock()
		defer k.Session.mu.Unlock()
		return len(k.present())
	}
	for i, want := range []string{"polite 2", "polite 3"} {
		if name, err := k.Open("Polite"); err != nil || name != want || k.Front() != 2+i {
			t.Fatalf("%q, %v, %d is in front; want %q", name, err, k.Front(), want)
		}
	}
	more.wait(t, 2)
	linktest.Eventually(t, "its picture", k.picture)
	_ = syscall.Kill(k.process(3).PID(), syscall.SIGKILL)
	linktest.Eventually(t, "its end", func() bool { return present() == 3 })
	if f := k.Front(); f != 0 {
		t.Errorf("machine %d is in front", f)
	}
	if err := k.Turn(3); !errors.Is(err, ErrNoMachine) {
		t.Error(err)
	}
	// By the key, from another window, in the place of the one that went.
	_ = k.Turn(2)
	keys := k.Frontend("test").Input.NewSource()
	for _, on := range []bool{true, false} {
		for _, c := range []input.Code{input.KeyLeftCtrl, input.KeyLeftAlt, input.KeyN} {
			keys.Key(c, on)
		}
	}
	linktest.Eventually(t, "another window", func() bool { return present() == 4 && k.Front() == 3 })
	more.wait(t, 3)
	for _, name := range []string{"deaf", "nobody"} {
		if got, err := k.Open(name); err == nil || errors.Is(err, ErrNoMachine) != (name == "nobody") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	k.stop()
	<-k.ran
	if _, err := k.Open("polite"); !errors.Is(err, ErrOver) {
		t.Error(err)
	}
	for _, p := range more.wait(t, 3) {
		if !isGone(p) {
			t.Errorf("process %d is still there", p)
		}
	}
}

// faulty is a listener that fails at first, as where a process has no file descriptor left.
type faulty struct {
	net.Listener
	failures int
}

func (f *faulty) Accept() (net.Conn, error) {
	if f.failures--; f.failures >= 0 {
		return nil, unix.EMFILE
	}
	return f.Listener.Accept()
}

// TestDoorStaysOpen has a session short of file descriptors for a while.
func TestDoorStaysOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "door")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	d := &Door{&faulty{l, 2}, make(chan struct{})}
	go d.keep(func(name string) (string, error) { return name + " 2", nil })
	if name, err := Ask(path, "web"); name != "web 2" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestDoor asks a session for windows from outside.
func TestDoor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "door")
	d, err := OpenDoor(path, func(name string) (string, error) {
		switch name {
		case "web":
			return "web 2", nil
		case "busy":
			return "", errors.New("there are too many")
		}
		return "", ErrNoMachine
	})
	if err != nil {
		t.Fatal(err)
	}
	if name, err := Ask(path, "web"); name != "web 2" || err != nil {
		t.Error(name, err)
	}
	if _, err := Ask(path, "busy"); err == nil || err.Error() != "there are too many" {
		t.Error(err)
	}
	if _, err := Ask(path, "other"); !errors.Is(err, ErrNoMachine) {
		t.Error(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("nonsense\n")); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || !bytes.Contains(b, []byte("this is no request")) {
		t.Errorf("%s, %v", b, err)
	}
	c.Close()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Ask(path, "web"); err == nil {
		t.Error("the door is open")
	}
}

// TestRespawn kills a machine more often than others start again: it does after a pause, and the session goes on meanwhile.
func TestRespawn(t *testing.T) {
	s := spec("polite", false)
	s.Restart, s.Respawn = RestartAlways, true
	k := keep(t, []Spec{s}, time.Hour, func(k *Keeper) { k.respawnPause = 50 * time.Millisecond })
	for i := range restarts + 2 {
		_ = syscall.Kill(k.begun[0].wait(t, i+1)[i], syscall.SIGKILL)
	}
	k.begun[0].wait(t, restarts+3)
	k.stop()
	<-k.ran
}

// TestHung has a machine's process stand still while it is in front: typing, turning and the overview wait for nothing, and it goes on as if nothing had been.
func TestHung(t *testing.T) {
	k := keep(t, []Spec{spec("polite", false), spec("deaf", true)}, time.Hour, nil)
	pid := k.begun[0].wait(t, 1)[0]
	k.begun[1].wait(t, 1)
	linktest.Eventually(t, "the first machine", k.picture)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	keys := k.Frontend("test").Input.NewSource()
	began := time.Now()
	for i := range 50000 {
		keys.Key(input.KeyA, i%2 == 0)
		keys.Point(i%640, i%480, 640, 480)
	}
	_ = k.Turn(1)
	linktest.Eventually(t, "the other machine", k.picture)
	k.mu.Lock()
	k.openOverview()
	k.mu.Unlock()
	mark := tilePlace(rigSize, 2, 1).Min.Add(image.Pt(1, 1))
	linktest.Eventually(t, "the overview", func() bool { return pixelOf(k.viewer.Update(), mark) == accent })
	_ = k.Turn(0)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	k.stop()
	<-k.ran
	if !isGone(pid) {
		t.Error("the process is still there")
	}
}

// pixelOf is what is shown at a place, 0 outside.
func pixelOf(u *display.Update, at image.Point) uint32 {
	if u.Frame.Off() || !at.In(u.Frame.Bounds()) {
		return 0
	}
	p := u.Frame.Line(at.Y)[4*at.X:]
	return 0xff000000 | uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16
}

// TestKilledSession kills a session: its machines notice, and no process stays.
func TestKilledSession(t *testing.T) {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), childEnv+"=session")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var machines pids
	lines := bufio.NewScanner(out)
	for len(machines.all) < 2 && lines.Scan() {
		_, _ = machines.Write(append(lines.Bytes(), '\n'))
	}
	if len(machines.all) != 2 {
		t.Fatalf("machines: %v", machines.all)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	for _, pid := range machines.all {
		linktest.Eventually(t, "the end of a machine", func() bool { return isGone(pid) })
	}
}
