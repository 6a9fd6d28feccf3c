package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sharevm/vmm/machine/control"
)

// worker is a machine that has done more each time it is asked, and whose clock goes on by a second.
type worker struct {
	standIn
	asked atomic.Int64
	step  int64
}

func (w *worker) Status() control.Status {
	n := w.asked.Add(1)
	k := n * w.step
	count := func(bytes, operations int64) control.Count {
		return control.Count{Bytes: k * bytes, Operations: k * operations}
	}
	return control.Status{
		Name: "n\x1b[2J", State: control.Running, Uptime: float64(n), Memory: 256 << 20, Exits: uint64(1000 * k), CPU: control.CPU{Seconds: 0.25 * float64(k)},
		Disks: []control.Disk{{Reads: count(1<<20, 3), Writes: count(2<<20, 4)}},
		NICs:  []control.NIC{{ToGuest: count(3<<20, 1), FromGuest: count(4<<20, 1)}, {ToGuest: count(1<<20, 0)}},
	}
}

func TestTop(t *testing.T) {
	root := runtimeFolder(t)
	if out, err := command(t, "top", "--once", "--interval", "100ms"); err != nil || strings.Count(out, "\n") != 1 {
		t.Errorf("without machines: %q, %v", out, err)
	}
	_, stop := serveControl("lazy", &worker{step: 1}, logger(newRoot()))
	defer stop()
	_, stopBusy := serveControl("busy", &worker{step: 4}, logger(newRoot()))
	defer stopBusy()
	silent(t, root)
	out, err := command(t, "top", "--once", "--interval", "100ms")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out, "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[1], "busy ") || !strings.HasPrefix(lines[2], "lazy ") || !strings.Contains(lines[3], "does not answer") {
		t.Fatalf("%s", out)
	}
	for _, want := range []string{"running", "25%", "256 MiB", "1 MiB", "2 MiB", "7", "4 MiB", "1000", `n\x1b[2J`} {
		if !strings.Contains(lines[2], want) {
			t.Errorf("%q is not in %q", want, lines[2])
		}
	}
	out, err = command(t, "top", "--once", "--json", "--interval", "100ms")
	var round []usage
	if err != nil || json.Unmarshal([]byte(out), &round) != nil || len(round) != 3 || strings.Count(out, "\n") != 1 {
		t.Fatalf("%s, %v", out, err)
	}
	if u := round[0]; u.CPU != 1 || u.DiskRequests != 28 || u.NetIn != 16<<20 || u.Exits != 4000 || u.Resident < 1<<20 {
		t.Errorf("%+v", u)
	}
	if _, err := command(t, "top", "--interval", "1ms"); err == nil || !strings.Contains(err.Error(), "100ms or more") {
		t.Error(err)
	}
}

// TestUsages compares samples of machines that come, go and start anew.
func TestUsages(t *testing.T) {
	of := func(id string, pid int, second int64, exits uint64) sample {
		return sample{listed: listed{Status: control.Status{ID: id, PID: pid, Exits: exits}}, at: time.Unix(second, 0)}
	}
	before := []sample{of("a", 1, 10, 100), of("b", 2, 10, 100), of("c", 3, 10, 100), of("d", 4, 10, 100), {listed: listed{Status: control.Status{ID: "f"}, Error: "?"}}}
	after := []sample{of("a", 1, 12, 300), of("b", 2, 12, 40), of("c", 33, 12, 300), of("d", 4, 10, 300), of("e", 5, 12, 300), of("f", 0, 12, 300)}
	for i, want := range []float64{100, 0, 0, 0, 0, 0} {
		if u := usages(before, after)[i]; u.Exits != want {
			t.Errorf("%s: %v exits a second, want %v", u.ID, u.Exits, want)
		}
	}
}

// TestTopPlain prints round after round where there is no terminal.
func TestTopPlain(t *testing.T) {
	runtimeFolder(t)
	var out bytes.Buffer
	fl := topFlags{wait: time.Millisecond, rounds: 3}
	if err := fl.watch(t.Context(), &out); err != nil || strings.Count(out.String(), "NAME") != 3 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestCrop(t *testing.T) {
	for _, test := range []struct {
		text          string
		width, height int
		want          string
	}{
		{"abc\nde\n", 2, 5, "ab\x1b[K\r\nde\x1b[K"},
		{"abc\nde\nf\n", 9, 2, "abc\x1b[K\r\nde\x1b[K"},
		{"äöü\n", 2, 1, "äö\x1b[K"},
	} {
		if got := crop(test.text, test.width, test.height); got != test.want {
			t.Errorf("%q in %dx%d: %q, want %q", test.text, test.width, test.height, got, test.want)
		}
	}
}

func TestResident(t *testing.T) {
	if n := resident(os.Getpid()); n < 1<<20 {
		t.Errorf("this process has %d bytes", n)
	}
	if n := resident(-1); n != 0 {
		t.Errorf("no process has %d bytes", n)
	}
}
