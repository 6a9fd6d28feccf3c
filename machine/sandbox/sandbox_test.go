package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sharevm/vmm/display/vnc"
	"github.com/sharevm/vmm/machine/sandbox"
	"github.com/sharevm/vmm/machine/sandbox/escape"
	"golang.org/x/sys/unix"
)

// child names the part that the test binary plays when it runs itself: a sandbox cannot be left.
const child = "VMM_SANDBOX_TEST"

var children = map[string]func(escape.Target) error{
	"escape":        func(t escape.Target) error { return tryAll(t, sandbox.Config{}) },
	"escape online": func(t escape.Target) error { return tryAll(t, sandbox.Config{Network: true}) },
	"work":          work,
	"files":         files,
	"network":       talk,
	"twice":         twice,
	"landlock":      landlock,
	"wait":          wait,
}

func TestMain(m *testing.M) {
	part := os.Getenv(child)
	if part == "" {
		os.Exit(m.Run())
	}
	pid, _ := strconv.Atoi(os.Args[2])
	if err := children[part](escape.Target{Folder: os.Args[1], PID: pid, Address: netip.MustParseAddrPort(os.Args[3])}); err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// play runs a part in a process of its own, with this process and its folder as the other machine, and returns what it said.
func play(t *testing.T, part string) string {
	t.Helper()
	folder := t.TempDir()
	// Nothing but the sandbox keeps a process without privileges out of it.
	if err := errors.Join(os.Chmod(filepath.Dir(folder), 0o755), os.Chmod(folder, 0o777), os.WriteFile(filepath.Join(folder, "disk.img"), nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "/proc/self/exe", folder, strconv.Itoa(os.Getpid()), l.Addr().String())
	c.Env = append(os.Environ(), child+"="+part)
	if os.Getuid() == 0 && strings.HasSuffix(t.Name(), unprivileged) {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(folder, "disk.img")); err != nil {
		t.Errorf("the other machine lost its disk: %v", err)
	}
	if _, err := os.Stat(filepath.Join(folder, "stolen")); err == nil {
		t.Error("the other machine has a file that is not its own")
	}
	return string(out)
}

const (
	unprivileged = "unprivileged"
	nobody       = 65534
)

// bothUsers runs a test as this user and, if this is root, as one without privileges.
func bothUsers(t *testing.T, test func(*testing.T)) {
	needLayers(t)
	t.Run("self", test)
	if os.Getuid() == 0 {
		t.Run(unprivileged, test)
	}
}

func needLayers(t *testing.T) {
	t.Helper()
	for _, l := range sandbox.Available() {
		if !l.InForce {
			t.Skipf("%s: %s", l.Name, l.Detail)
		}
	}
}

func TestEscape(t *testing.T) {
	bothUsers(t, func(t *testing.T) { checkAttempts(t, play(t, "escape"), "") })
}

func TestEscapeWithNetwork(t *testing.T) {
	bothUsers(t, func(t *testing.T) { checkAttempts(t, play(t, "escape online"), "connect out") })
}

// checkAttempts wants each attempt but one to be refused and logged.
func checkAttempts(t *testing.T, out, allowed string) {
	t.Helper()
	for _, a := range escape.All() {
		if a.Name == allowed {
			continue
		}
		if !strings.Contains(out, "attempt "+a.Name+": operation not permitted\n") {
			t.Errorf("%s: not refused", a.Name)
		}
		if !strings.Contains(out, "call="+a.Call+" ") {
			t.Errorf("%s: %s was not logged", a.Name, a.Call)
		}
	}
	if !strings.Contains(out, "still at work") {
		t.Error("the process did not live on")
	}
	if t.Failed() {
		t.Log(out)
	}
}

// journal collects what is logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// enter enters a sandbox and checks that all layers are there.
func enter(c sandbox.Config) (*journal, error) {
	log := new(journal)
	c.Log = slog.New(slog.NewTextHandler(log, nil))
	layers, err := sandbox.Enter(c)
	if err != nil {
		return nil, err
	}
	for _, l := range layers {
		if !l.InForce {
			return nil, fmt.Errorf("%s: %s", l.Name, l.Detail)
		}
	}
	return log, nil
}

func tryAll(target escape.Target, c sandbox.Config) error {
	log, err := enter(c)
	if err != nil {
		return err
	}
	for _, a := range escape.All() {
		fmt.Printf("attempt %s: %v\n", a.Name, a.Do(target))
	}
	if err := exercise(); err != nil {
		return err
	}
	fmt.Println("still at work")
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); runtime.Gosched() {
		if all := log.String(); !slices.ContainsFunc(escape.All(), func(a escape.Attempt) bool {
			return !strings.Contains(all, "call="+a.Call+" ") && !(c.Network && a.Name == "connect out")
		}) {
			break
		}
	}
	fmt.Print(log)
	return nil
}

// exercise does what the runtime and a machine do: threads, timers, collections, guest RAM.
func exercise() error {
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			runtime.LockOSThread() // and so takes a thread of its own, which ends with it
			time.Sleep(time.Millisecond)
		})
	}
	wg.Wait()
	runtime.GC()
	debug.FreeOSMemory()
	fd, err := unix.MemfdCreate("ram", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return fmt.Errorf("memfd: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, 1<<20); err != nil {
		return err
	}
	ram, err := unix.Mmap(fd, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	ram[4096] = 1
	return errors.Join(unix.Madvise(ram, unix.MADV_DONTNEED), unix.Munmap(ram))
}

// encrypt shakes hands by TLS with itself.
func encrypt(cert tls.Certificate) error {
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		_ = tls.Server(far, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
		far.Close()
	}()
	return tls.Client(near, &tls.Config{InsecureSkipVerify: true}).Handshake()
}

// TestWork does honest things in the sandbox, and wants none of them refused.
func TestWork(t *testing.T) {
	bothUsers(t, func(t *testing.T) {
		if out := play(t, "work"); out != "" {
			t.Errorf("refused:\n%s", out)
		}
	})
}

func work(t escape.Target) error {
	disk, err := os.CreateTemp("", "sandbox")
	if err != nil {
		return err
	}
	defer disk.Close()
	if err := os.Remove(disk.Name()); err != nil {
		return err
	}
	cert, err := vnc.Certificate(filepath.Join(t.Folder, "certificate"))
	if err != nil {
		return err
	}
	log, err := enter(sandbox.Config{})
	if err != nil {
		return err
	}
	if err := errors.Join(exercise(), encrypt(*cert)); err != nil {
		return err
	}
	if _, err := disk.WriteAt([]byte("kept"), 1<<20); err != nil {
		return err
	}
	var b [4]byte
	if _, err := disk.ReadAt(b[:], 1<<20); err != nil || string(b[:]) != "kept" {
		return fmt.Errorf("read back %q: %v", b, err)
	}
	if err := errors.Join(disk.Sync(), disk.Truncate(1<<21), unix.Fallocate(int(disk.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096)); err != nil {
		return err
	}
	fmt.Print(log)
	return nil
}

// TestFiles opens what may be opened again, after it has changed.
func TestFiles(t *testing.T) {
	bothUsers(t, func(t *testing.T) { play(t, "files") })
}

func files(t escape.Target) error {
	path := filepath.Join(t.Folder, "resolv.conf")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		return err
	}
	held, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	file, none := sandbox.NewFile(path), sandbox.NewFile(path+".none")
	if f, err := file.Open(); err != nil {
		return fmt.Errorf("before the sandbox: %w", err)
	} else {
		f.Close()
	}
	if _, err := enter(sandbox.Config{Files: []*sandbox.File{file, none}}); err != nil {
		return err
	}
	if _, err := held.WriteAt([]byte("new"), 0); err != nil {
		return err
	}
	f, err := file.Open()
	if err != nil {
		return err
	}
	if b, err := io.ReadAll(f); string(b) != "new" {
		return fmt.Errorf("read %q: %v", b, err)
	}
	if f, err := none.Open(); err == nil {
		return fmt.Errorf("opened %s", f.Name())
	}
	if f, err := os.Open(path); err == nil {
		return fmt.Errorf("opened %s by its name", f.Name())
	}
	return nil
}

func TestNetwork(t *testing.T) {
	bothUsers(t, func(t *testing.T) {
		if out := play(t, "network"); out != "" {
			t.Errorf("refused:\n%s", out)
		}
	})
}

// talk does what the user network does.
func talk(t escape.Target) error {
	l, err := net.Listen("tcp4", "127.0.0.1:0") // a published port
	if err != nil {
		return err
	}
	log, err := enter(sandbox.Config{Network: true})
	if err != nil {
		return err
	}
	for _, to := range []string{t.Address.String(), l.Addr().String()} {
		c, err := net.Dial("tcp4", to)
		if err != nil {
			return err
		}
		c.Close()
	}
	c, err := l.Accept()
	if err != nil {
		return err
	}
	if err := errors.Join(c.(*net.TCPConn).SetNoDelay(true), c.(*net.TCPConn).CloseWrite(), c.Close()); err != nil {
		return err
	}
	u, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return err
	}
	if _, err := u.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: u.LocalAddr().(*net.UDPAddr).Port}); err != nil {
		return err
	}
	if _, _, err := u.ReadFrom(make([]byte, 8)); err != nil {
		return err
	}
	fmt.Print(log)
	if l, err := net.Listen("tcp4", "127.0.0.1:0"); err == nil {
		return fmt.Errorf("listens at %v", l.Addr())
	}
	return nil
}

func TestEnterTwice(t *testing.T) {
	needLayers(t)
	play(t, "twice")
}

func twice(escape.Target) error {
	if _, err := enter(sandbox.Config{}); err != nil {
		return err
	}
	if _, err := enter(sandbox.Config{}); err == nil {
		return errors.New("entered a second time")
	}
	return nil
}

// TestLandlockAlone tries what the filter refuses anyway, on the layer behind it.
func TestLandlockAlone(t *testing.T) {
	bothUsers(t, func(t *testing.T) { play(t, "landlock") })
}

func landlock(t escape.Target) error {
	if err := sandbox.RestrictPaths(&sandbox.Config{}); err != nil {
		return err
	}
	for _, a := range escape.All() {
		switch a.Name {
		case "read /etc/passwd", "read /dev/mem", "read a path of its own by open", "write into another machine's folder", "delete another machine's disk",
			"trace another machine", "mount":
		case "connect out", "signal another machine":
			if !sandbox.LandlockHasNetwork() {
				continue
			}
		default:
			continue
		}
		err := a.Do(t)
		if errors.Is(err, os.ErrNotExist) && a.Name == "read /dev/mem" {
			continue // not on every host
		}
		if !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("%s: %v", a.Name, err)
		}
	}
	return nil
}

// TestEveryThread looks at the threads of a confined process from outside.
func TestEveryThread(t *testing.T) {
	needLayers(t)
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "/", "1", "127.0.0.1:1")
	c.Env = append(os.Environ(), child+"=wait")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer in.Close()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q: %v", line, err)
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.Process.Pid))
	if err != nil || len(threads) < 3 {
		t.Fatalf("%d threads: %v", len(threads), err)
	}
	want := []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapAmb:\t0000000000000000"}
	for _, path := range threads {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // ended meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !strings.Contains(string(b), line+"\n") {
				t.Errorf("%s: no %q", path, line)
			}
		}
	}
}

// wait is confined with some threads that were there before and some that came later.
func wait(escape.Target) error {
	for range 3 {
		go func() {
			runtime.LockOSThread()
			select {}
		}()
	}
	if _, err := enter(sandbox.Config{}); err != nil {
		return err
	}
	if err := exercise(); err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = io.ReadAll(os.Stdin)
	return nil
}
