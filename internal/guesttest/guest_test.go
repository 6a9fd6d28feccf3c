package guesttest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sharevm/vmm/images/testguest/kit"
)

// limit is how long a guest may take for its next line. It needs three seconds in the nested host on a quiet machine; emulation on a
// crowded one is slower by far more than the share of the processor that it loses, since the guest's clock goes on.
const limit = 4 * time.Minute

var (
	kitDir = os.Getenv("VMM_GUEST_TESTS")
	vmmBin = os.Getenv("VMM_BIN")
)

// needGuests skips where no kit is given. Where one is, a missing KVM fails.
func needGuests(t *testing.T) {
	t.Helper()
	if kitDir == "" {
		t.Skip("guest tests run in the nested host: make test")
	}
}

// machineFile is a .vmx in the making.
type machineFile struct {
	dir     string
	keys    []string
	cmdline []string
}

// newFile begins a machine with 256 MiB and one processor, a folder of its own, and the kit's kernel.
func newFile(t *testing.T, tasks string) *machineFile {
	t.Helper()
	needGuests(t)
	f := &machineFile{dir: t.TempDir(), cmdline: []string{"console=ttyS0", "quiet", "panic=1", "vmm.tasks=" + tasks}}
	f.set(".encoding", "UTF-8")
	f.set("config.version", "8")
	f.set("virtualHW.version", "19")
	f.set("guestOS", "debian12-64")
	f.set("displayName", t.Name())
	f.set("memsize", "256")
	f.set("vmm.kernel", filepath.Join(kitDir, kit.Vmlinux))
	f.set("vmm.initrd", filepath.Join(kitDir, kit.Initrd))
	return f
}

// newPCFile begins a machine of the PC board, with the kernel that has the drivers of foreign hardware.
func newPCFile(t *testing.T, tasks string) *machineFile {
	t.Helper()
	f := newFile(t, tasks)
	f.set("vmm.board", "pc")
	f.set("vmm.console", "serial0")
	f.set("vmm.kernel", filepath.Join(kitDir, kit.PCVmlinux))
	f.set("vmm.initrd", filepath.Join(kitDir, kit.PCInitrd))
	return f
}

// set gives a key a value, in place of an earlier one.
func (f *machineFile) set(key, value string) {
	line := fmt.Sprintf("%s = %q", key, value)
	for i, old := range f.keys {
		if strings.HasPrefix(old, key+" = ") {
			f.keys[i] = line
			return
		}
	}
	f.keys = append(f.keys, line)
}

func (f *machineFile) addNIC() {
	f.set("ethernet0.present", "TRUE")
	f.set("ethernet0.connectionType", "nat")
}

// addDisk attaches a file of the machine's folder as scsi0:N.
func (f *machineFile) addDisk(n int, file string) {
	if n == 0 {
		f.set("scsi0.present", "TRUE")
	}
	f.set(fmt.Sprintf("scsi0:%d.present", n), "TRUE")
	f.set(fmt.Sprintf("scsi0:%d.fileName", n), file)
}

// write stores the .vmx and returns its path.
func (f *machineFile) write(t *testing.T) string {
	t.Helper()
	path := filepath.Join(f.dir, "test.vmx")
	lines := f.keys
	if f.cmdline != nil {
		lines = append(lines, fmt.Sprintf("vmm.cmdline = %q", strings.Join(f.cmdline, " ")))
	}
	text := strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// sandboxRefused is what machines log of a system call that their sandbox refuses.
const sandboxRefused = "the sandbox refused a system call"

// guest is a running machine.
type guest struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string
	err   bytes.Buffer // standard error, complete after wait
	// broken says that the machine does what its sandbox refuses.
	broken bool

	mu  sync.Mutex
	log []string // everything that the console said
}

// start runs `vmm run` on the file with more arguments.
func (f *machineFile) start(t *testing.T, args ...string) *guest {
	t.Helper()
	return f.startAs(t, exec.Command(vmmBin, append(append([]string{"run", "--allow-outside"}, args...), f.write(t))...))
}

// restart is start on the .vmx as it lies there by now.
func (f *machineFile) restart(t *testing.T, args ...string) *guest {
	t.Helper()
	return f.startAs(t, exec.Command(vmmBin, append(append([]string{"run", "--allow-outside"}, args...), filepath.Join(f.dir, "test.vmx"))...))
}

// startAs runs a command that runs the machine.
func (f *machineFile) startAs(t *testing.T, c *exec.Cmd) *guest {
	t.Helper()
	g := &guest{t: t, cmd: c, lines: make(chan string, 1<<14)}
	g.cmd.Stderr = &g.err
	var err error
	if g.stdin, err = g.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go g.read(out)
	t.Cleanup(func() {
		_ = g.cmd.Process.Kill()
		if t.Failed() {
			g.mu.Lock()
			defer g.mu.Unlock()
			t.Logf("console:\n%s\nstandard error:\n%s", strings.Join(g.log, "\n"), g.err.String())
		}
	})
	return g
}

// overhear runs a command whose lines on standard error are what counts, until the test ends.
func overhear(t *testing.T, c *exec.Cmd) *guest {
	t.Helper()
	out, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{t: t, cmd: c, lines: make(chan string, 1<<14)}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go g.read(out)
	t.Cleanup(func() {
		_ = c.Process.Kill()
		if t.Failed() {
			g.mu.Lock()
			defer g.mu.Unlock()
			t.Logf("%s:\n%s", strings.Join(c.Args[1:], " "), strings.Join(g.log, "\n"))
		}
	})
	return g
}

func (g *guest) read(out io.Reader) {
	defer close(g.lines)
	s := bufio.NewScanner(out)
	s.Split(pieces)
	for s.Scan() {
		line := strings.TrimRight(s.Text(), "\r")
		g.mu.Lock()
		g.log = append(g.log, line)
		g.mu.Unlock()
		g.lines <- line
	}
}

// pieces is bufio.ScanLines, but cuts lines that are longer than a hostile guest needs to be given.
func pieces(data []byte, atEOF bool) (int, []byte, error) {
	const most = 32 << 10
	n, line, err := bufio.ScanLines(data, atEOF)
	if n == 0 && len(data) >= most {
		return most, data[:most], nil
	}
	return n, line, err
}

// expect waits for a line that matches, and returns its submatches.
func (g *guest) expect(pattern string) []string {
	g.t.Helper()
	m := g.hears(pattern, limit)
	if m == nil {
		// Where the monitor's goroutines are tells whether it hangs or the guest is slow.
		_ = g.cmd.Process.Signal(syscall.SIGQUIT)
		_ = g.cmd.Wait()
		g.t.Fatalf("no %q within %v", pattern, limit)
	}
	return m
}

// hears is expect without a verdict: it returns nil for a guest that has said nothing for so long.
func (g *guest) hears(pattern string, silence time.Duration) []string {
	g.t.Helper()
	re := regexp.MustCompile(pattern)
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for {
		select {
		case line, ok := <-g.lines:
			if !ok {
				_ = g.cmd.Wait()
				g.t.Fatalf("the guest ended before it said %q", pattern)
			}
			if m := re.FindStringSubmatch(line); m != nil {
				return m
			}
			if strings.Contains(line, kernelPanic) {
				g.panicked()
			}
			if strings.Contains(line, ": failed: ") && !strings.Contains(pattern, "failed") {
				g.t.Fatalf("the guest said %q", line)
			}
			timer.Reset(silence)
		case <-timer.C:
			return nil
		}
	}
}

// kernelPanic is what Linux says before it starts anew, which would look like the beginning of what is waited for.
const kernelPanic = "Kernel panic - not syncing"

// panicked ends the test of a guest whose kernel has panicked, when it has said why.
func (g *guest) panicked() {
	g.t.Helper()
	for end := time.After(10 * time.Second); ; {
		select {
		case line, ok := <-g.lines:
			if ok && !strings.Contains(line, "Rebooting in") {
				continue
			}
		case <-end:
		}
		g.t.Fatal("the guest's kernel panicked: the console says why")
	}
}

// finish waits for the guest's verdict and for the end of the command, with status 0.
func (g *guest) finish() {
	g.t.Helper()
	g.expect("^tasks: all ok$")
	if err := g.wait(); err != nil {
		g.t.Fatalf("vmm run: %v\n%s", err, g.err.String())
	}
}

// wait waits for the command to end.
func (g *guest) wait() error {
	g.t.Helper()
	done := make(chan error, 1)
	go func() {
		for range g.lines {
		}
		done <- g.cmd.Wait()
	}()
	select {
	case err := <-done:
		if !g.broken && strings.Contains(g.err.String(), sandboxRefused) {
			g.t.Errorf("the sandbox is too small for an honest machine:\n%s", g.err.String())
		}
		return err
	case <-time.After(limit):
		_ = g.cmd.Process.Signal(syscall.SIGQUIT)
		<-done
		g.t.Fatalf("vmm run did not end within %v", limit)
		return nil
	}
}

// said returns the submatches of every line so far that matches.
func (g *guest) said(pattern string) [][]string {
	re := regexp.MustCompile(pattern)
	g.mu.Lock()
	defer g.mu.Unlock()
	var all [][]string
	for _, l := range g.log {
		if m := re.FindStringSubmatch(l); m != nil {
			all = append(all, m)
		}
	}
	return all
}
