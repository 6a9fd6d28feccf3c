package guesttest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// sessionOf starts a session of files that shows its screen at an address.
func sessionOf(t *testing.T, at string, args ...string) (*exec.Cmd, *guest) {
	t.Helper()
	g := overhear(t, exec.Command(vmmBin, append([]string{"session", "--vnc=" + at, "--run-option=--allow-outside"}, args...)...))
	return g.cmd, g
}

// processes are those whose command line names a folder.
func processes(t *testing.T, folder string) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(all) == 0 {
		t.Fatal(len(all), err)
	}
	for _, name := range all {
		b, err := os.ReadFile(name)
		if pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil && strings.Contains(string(b), folder) && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// processOf is the process of a session's machine, 0 while there is none. Unlike vmm ps it does not depend on an answer.
func processOf(t *testing.T, file string, session int) int {
	t.Helper()
	for _, pid := range processes(t, file) {
		if pid != session {
			return pid
		}
	}
	return 0
}

// kill sends a process a signal. It may be gone already.
func kill(t *testing.T, pid int, signal syscall.Signal) {
	t.Helper()
	if pid <= 0 { // which would be everybody
		t.Fatalf("process %d is to be killed", pid)
	}
	_ = syscall.Kill(pid, signal)
}

// running are the processes of the machines that run, by their ids.
func running(t *testing.T) map[string]int {
	t.Helper()
	out, err := exec.Command(vmmBin, "ps", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		ID  string
		PID int
	}
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatal(err)
	}
	m := map[string]int{}
	for _, p := range all {
		if p.PID > 0 { // one that has just come, or is about to go, may not answer
			m[p.ID] = p.PID
		}
	}
	return m
}

// checkAnnounced waits for a machine in the background to become ready, and sees the line that says so come and go over the picture.
func checkAnnounced(t *testing.T, g *guest, v *viewer, name string) {
	t.Helper()
	g.expect("msg=ready machine=" + name + " ")
	line := func() bool { return v.pixels[2*v.width+v.width/2] == 0x101418 }
	for !line() {
		v.next()
	}
	for line() { // the last one is about that
		v.save("ready")
		v.next()
	}
	v.save("faded")
	if !v.shows(1) {
		t.Error("the picture is not what it was")
	}
}

// checkTurns turns to the other machine and back, and reports how long the session took from the key to the other picture on the surface that frontends show.
func checkTurns(t *testing.T, g *guest, v *viewer) {
	t.Helper()
	var took []time.Duration
	for i := range 2 * (turns(t) / 2) {
		time.Sleep(310*time.Millisecond + rand.N(50*time.Millisecond)) // not within a double tap of the last
		v.key(symF4)
		for !v.shows(uint32(2 - i%2)) {
			v.next()
		}
		d, err := time.ParseDuration(g.expect(`msg=turned machine=\w+ took=(\S+)`)[1])
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, d)
	}
	slices.Sort(took)
	t.Logf("key to the other machine's picture on the session's surface, %d times: median %v, 90 %% %v, longest %v", len(took), took[len(took)/2], took[len(took)*9/10], took[len(took)-1])
	const frame = time.Second / 60
	if median := took[len(took)/2]; median > frame {
		t.Errorf("turning takes %v, more than a frame", median)
	}
}

// TestSessionKilled kills a machine of a session, then the session: the other machine is still seen after the one, and no machine runs after the other.
func TestSessionKilled(t *testing.T) {
	needGuests(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	const at = "127.0.0.1:5943"
	var files []string
	for i, name := range []string{"one", "two"} {
		f := newFastFileWithPCKernel(t, fmt.Sprintf("paint:%d,events:vmm:2", i+1))
		f.set("displayName", name)
		f.set("vmm.display", "virtio")
		f.set("vmm.input", "virtio")
		f.set("vmm.overlay", "disposable")
		files = append(files, f.write(t))
	}
	c, g := sessionOf(t, at, append(files, "-vv")...)
	v := dialViewer(t, at)
	for !v.shows(1) {
		v.next()
	}
	checkAnnounced(t, g, v, "two")
	checkTurns(t, g, v)
	one, two := processOf(t, files[0], c.Process.Pid), processOf(t, files[1], c.Process.Pid)
	kill(t, two, syscall.SIGKILL)
	eventually(t, "it has started again", func() bool {
		now := processOf(t, files[1], c.Process.Pid)
		return now != 0 && now != two
	})
	if now := processOf(t, files[0], c.Process.Pid); now != one {
		t.Errorf("the other one's process was %d and is %d", one, now)
	}
	v.key(symF4)
	for !v.shows(2) {
		v.next()
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = g.wait()
	eventually(t, "the machines have ended with their session", func() bool { return len(processes(t, files[0])) == 0 && len(processes(t, files[1])) == 0 })
}

// TestSessionSuspends ends a session with its machine suspended, and goes on with the next one where the guest was.
func TestSessionSuspends(t *testing.T) {
	needGuests(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	const at = "127.0.0.1:5944"
	f := newFastFileWithPCKernel(t, "paint:1,events:vmm:2")
	f.set("displayName", "one")
	f.set("vmm.display", "virtio")
	f.set("vmm.input", "virtio")
	file := f.write(t)
	c, g := sessionOf(t, at, "--end=suspend", "-v", file)
	v := dialViewer(t, at)
	for !v.shows(1) {
		v.next()
	}
	g.expect("msg=ready machine=one ")
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := g.wait(); err != nil {
		t.Error(err)
	}
	if left := running(t); len(left) > 0 {
		t.Errorf("it still runs: %v", left)
	}
	_, again := sessionOf(t, at, "--end=suspend", file)
	v = dialViewer(t, at)
	for !v.shows(1) {
		v.next()
	}
	v.key(symF12)
	again.expect("^one: event 0 1 88 0$")
	if err := again.wait(); err != nil {
		t.Error(err)
	}
	if all := again.said("Linux version"); len(all) > 0 {
		t.Error("the guest has started anew")
	}
}
