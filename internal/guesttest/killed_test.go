package guesttest

import (
	"encoding/json"
	"fmt"
	"os/exec"
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
	c := exec.Command(vmmBin, append([]string{"session", "--vnc=" + at, "--run-option=--allow-outside"}, args...)...)
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
			t.Logf("session:\n%s", g.log)
		}
	})
	return c, g
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
		m[p.ID] = p.PID
	}
	return m
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
	c, g := sessionOf(t, at, files...)
	v := dialViewer(t, at)
	for !v.shows(1) {
		v.next()
	}
	before := running(t)
	if err := syscall.Kill(before["two"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has started again", func() bool {
		now := running(t)
		return now["two"] > 0 && now["two"] != before["two"] && now["one"] == before["one"]
	})
	v.key(symF4)
	for !v.shows(2) {
		v.next()
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = g.wait()
	eventually(t, "the machines have ended with their session", func() bool { return len(running(t)) == 0 })
}
