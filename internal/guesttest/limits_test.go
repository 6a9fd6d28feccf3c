package guesttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/machine/control"
)

// slice is how long a rate is measured, after as long as is left out for what was on its way when the limit was set.
const (
	slice  = 6 * time.Second
	settle = 2 * time.Second
)

// rate is what the guest's load does in a second, by the host's clock.
func (g *guest) rate() float64 {
	g.t.Helper()
	before, at := g.count(settle)
	after, end := g.count(slice)
	return float64(after-before) / end.Sub(at).Seconds()
}

// count is the load's latest count after so long, and when it was told.
func (g *guest) count(after time.Duration) (n int64, at time.Time) {
	g.t.Helper()
	for end := time.Now().Add(after); ; {
		text := g.expect(`^load (\d+)$`)[1]
		at = time.Now()
		if len(g.lines) > 0 || at.Before(end) {
			continue
		}
		n, _ = strconv.ParseInt(text, 10, 64)
		return n, at
	}
}

// ask runs vmm and returns what it prints.
func ask(t *testing.T, args ...string) []byte {
	t.Helper()
	c := exec.Command(vmmBin, args...)
	var why bytes.Buffer
	c.Stderr = &why
	out, err := c.Output()
	if err != nil {
		t.Fatalf("vmm %v: %v\n%s", args, err, why.Bytes())
	}
	return out
}

// status is what vmm ps says of the only machine.
func status(t *testing.T) control.Status {
	t.Helper()
	var all []control.Status
	if err := json.Unmarshal(ask(t, "ps", "--json"), &all); err != nil || len(all) != 1 {
		t.Fatalf("vmm ps --json: %d machines, %v", len(all), err)
	}
	return all[0]
}

func within(got, want float64) bool { return got > 0.9*want && got < 1.1*want }

// TestDiskLimit has a guest read as fast as it can, under a limit of its file, then under others that come while it runs. In the end
// nothing may wait for the requests that wait.
func TestDiskLimit(t *testing.T) {
	f := newFile(t, "load:/dev/vda:4096:8")
	f.create(t, "disk.raw", 16<<20)
	f.addDisk(0, "disk.raw")
	f.set("vmm.limit.disk.read.iops", "100")
	g := f.start(t)
	if got := g.rate(); !within(got, 100) {
		t.Errorf("%.1f reads a second under a limit of 100", got)
	}
	s := status(t)
	if s.State != control.Running || s.PID != g.cmd.Process.Pid || s.Limits.DiskReadOps.PerSecond != 100 || s.Disks[0].Reads.Operations < 500 {
		t.Errorf("%+v", s)
	}
	ask(t, "limit", s.ID, "disk.read.iops=off", "disk.bandwidth=1M")
	if got := g.rate() * 4096; !within(got, 1<<20) {
		t.Errorf("%.0f bytes a second under a limit of 1 MiB", got)
	}
	ask(t, "limit", s.ID, "disk.bandwidth=off")
	if got := g.rate(); got < 2*256 {
		t.Errorf("%.1f reads a second without a limit", got)
	}
	ask(t, "limit", s.ID, "disk.iops=1", "disk.iops.burst=1")
	time.Sleep(settle)
	begin := time.Now()
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	if err := g.wait(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the power-off took %v", took)
	}
}

// TestNetworkLimit has a guest receive as fast as it can.
func TestNetworkLimit(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for buf := make([]byte, 64<<10); ; {
			if _, err := w.Write(buf); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	f := newFile(t, "drain:http://10.0.2.2:"+u.Port()+"/")
	f.addNIC()
	g := f.start(t, "--host-access", u.Port(), "--limit", "net.in=2M", "--limit", "net.in.burst=128K")
	if got := g.rate(); !within(got, 2<<20) {
		t.Errorf("%.0f bytes a second under a limit of 2 MiB", got)
	}
	id := status(t).ID
	ask(t, "limit", id, "net.in=500K")
	if got := g.rate(); !within(got, 500<<10) {
		t.Errorf("%.0f bytes a second under a limit of 500 KiB", got)
	}
	if n := status(t).NICs[0]; n.ToGuest.Bytes < 15<<20 || n.TCPOpen != 1 || len(n.Refused) == 0 {
		t.Errorf("%+v", n)
	}
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	if err := g.wait(); err != nil {
		t.Error(err)
	}
}

// TestProcessorLimit gives a busy machine part of a processor, by a control group, and then more of it.
func TestProcessorLimit(t *testing.T) {
	needGuests(t)
	const groups = "/sys/fs/cgroup"
	if err := unix.Mount("none", groups, "cgroup2", 0, ""); err == nil {
		t.Cleanup(func() { _ = unix.Unmount(groups, unix.MNT_DETACH) })
	} else if !errors.Is(err, unix.EBUSY) {
		t.Fatal("mount cgroup2:", err)
	}
	f := newFile(t, "load:/dev/vda:512:2")
	f.create(t, "disk.raw", 1<<20)
	f.addDisk(0, "disk.raw")
	g := f.start(t, "--limit", "cpu.quota=40%", "--limit", "cpu.shares=500")
	g.expect(`^load \d+$`)
	s := status(t)
	if s.CPU.Means != "cgroup" {
		t.Fatalf("processors are limited by %s: %s", s.CPU.Means, s.CPU.Why)
	}
	if got := used(t, s.PID); !within(got, 0.4) {
		t.Errorf("%.2f processors are used under a quota of 0.4", got)
	}
	ask(t, "limit", s.ID, "cpu.quota=0.7")
	if got := used(t, s.PID); !within(got, 0.7) {
		t.Errorf("%.2f processors are used under a quota of 0.7", got)
	}
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	if err := g.wait(); err != nil {
		t.Error(err)
	}
}

// used is how many processors a process uses over a while.
func used(t *testing.T, pid int) float64 {
	t.Helper()
	ticks := func() float64 { // proc_pid_stat(5): fields 14 and 15, behind a name in parentheses, in hundredths of a second
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		user, _ := strconv.ParseFloat(fields[11], 64)
		system, _ := strconv.ParseFloat(fields[12], 64)
		return user + system
	}
	before, begin := ticks(), time.Now()
	time.Sleep(slice)
	return (ticks() - before) / 100 / time.Since(begin).Seconds()
}
