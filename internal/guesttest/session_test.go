package guesttest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// keysyms of the keys that the test presses.
const (
	symF4  = 0xc1
	symF12 = 0xc9
)

// turns is how often the hotkey is pressed: 200 times is what `VMM_TURNS=200 make test` does.
func turns(t *testing.T) int {
	t.Helper()
	s := os.Getenv("VMM_TURNS")
	if s == "" {
		return 25
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("VMM_TURNS=%q: want a number", s)
	}
	return n
}

// TestSession shows two machines on one screen, one of each board, while the second still boots: the hotkey turns between them at random moments, the picture is the right one
// each time, and each guest gets its own keys.
func TestSession(t *testing.T) {
	needGuests(t)
	const at = "127.0.0.1:5941"
	var files []string
	for i, board := range []string{"fast", "pc"} {
		f := newPCFile(t, fmt.Sprintf("paint:%d,events:vmm:2", i+1))
		f.set("displayName", board)
		f.set("vmm.board", board)
		f.set("vmm.display", "virtio")
		f.set("vmm.input", "virtio")
		files = append(files, f.write(t))
	}
	_, g := sessionOf(t, at, files...)
	v := dialViewer(t, at)
	until := func(seed uint32) (waited time.Duration) {
		began := time.Now()
		for !v.shows(seed) {
			v.next()
		}
		return time.Since(began)
	}
	t.Logf("the first machine's picture after %v", until(1))
	g.expect("^fast: waiting for events$")
	v.key(symF4)
	t.Logf("the second machine's after another %v", until(2))
	g.expect("^pc: waiting for events$")

	var took []time.Duration
	front := uint32(2)
	for range turns(t) {
		time.Sleep(310*time.Millisecond + rand.N(50*time.Millisecond)) // not within a double tap of the last
		v.key(symF4)
		front = 3 - front
		took = append(took, until(front))
	}
	slices.Sort(took)
	t.Logf("key to the other machine's whole picture at the viewer, %d times: median %v, 90 %% %v, longest %v", len(took), took[len(took)/2], took[len(took)*9/10], took[len(took)-1])

	// The one in front gets a key; then the other. F12 ends their tasks.
	boards := map[uint32]string{1: "fast", 2: "pc"}
	v.key(symF12)
	g.expect("^" + boards[front] + ": event 0 1 88 0$")
	g.expect("^" + boards[front] + ": tasks: all ok$")
	if all := g.said("^" + boards[3-front] + ": event 0"); len(all) != 0 {
		t.Errorf("the machine behind has got a key: %q", all)
	}
	time.Sleep(400 * time.Millisecond)
	v.key(symF4)
	until(3 - front)
	v.key(symF12)
	g.expect("^" + boards[3-front] + ": event 0 1 88 0$")
	if all := g.said("event 0 1 62"); len(all) != 0 {
		t.Errorf("a guest has got the hotkey %d times", len(all))
	}
	if err := g.wait(); err != nil {
		t.Error(err)
	}
}

// TestSessionEnds ends a session by a signal, and one machine by killing it: nothing is left behind.
func TestSessionEnds(t *testing.T) {
	needGuests(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	f := newPCFile(t, "paint:1,events:vmm:2")
	f.set("displayName", "one")
	f.set("vmm.display", "virtio")
	f.set("vmm.input", "virtio")
	f.set("vmm.overlay", "disposable")
	c, g := sessionOf(t, "127.0.0.1:5942", f.write(t))
	v := dialViewer(t, "127.0.0.1:5942")
	for !v.shows(1) {
		v.next()
	}
	// It is disposable, and starts again by itself.
	vmm(t, "stop", "--hard", "one")
	for v.shows(1) {
		v.next()
	}
	for !v.shows(1) {
		v.next()
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := g.wait(); err != nil {
		t.Error(err)
	}
	if out, err := exec.Command(vmmBin, "ps").Output(); err != nil || len(out) > 200 {
		t.Errorf("after the session: %s, %v", out, err)
	}
}
