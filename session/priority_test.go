package session

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/session/link/linktest"
)

// yields says whether a process has been made to yield, by the means that there are here, in all of its threads.
func yields(t *testing.T, pid int) (some, all bool) {
	t.Helper()
	all = true
	note := func(is bool) { some, all = some || is, all && is }
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	if b, err := os.ReadFile(filepath.Join(dir, "autogroup")); err == nil {
		_, nice, _ := strings.Cut(strings.TrimSpace(string(b)), " nice ")
		note(nice == strconv.Itoa(backgroundNice))
	}
	if groupsCount("/proc") || !mayRaise() {
		return some, all
	}
	for _, tid := range threads(dir) {
		a, err := unix.SchedGetAttr(tid, 0)
		if err == nil {
			note(a.Policy == unix.SCHED_IDLE)
		}
	}
	return some, all
}

// TestYield turns between two machines, quickly too: the one in front has its full share again each time, and the other one yields.
func TestYield(t *testing.T) {
	if !groupsCount("/proc") && !mayRaise() {
		t.Skip("no means here to have processes yield")
	}
	k := keep(t, []Spec{spec("polite", false), spec("deaf", true)}, time.Hour, nil)
	pids := [2]int{k.begun[0].wait(t, 1)[0], k.begun[1].wait(t, 1)[0]}
	for i := range 12 {
		front := (i + i/3) % 2 // to the other one, and to the same
		_ = k.Turn(front)
		if i%2 == 0 {
			continue
		}
		linktest.Eventually(t, "the machine in front has its share, and the other yields", func() bool {
			some, _ := yields(t, pids[front])
			_, all := yields(t, pids[1-front])
			return !some && all
		})
	}
}

// spin keeps the first processor that this process may use busy.
func spin() {
	runtime.LockOSThread()
	var may unix.CPUSet
	if unix.SchedGetaffinity(0, &may) == nil {
		for cpu := range 64 * len(may) {
			if may.IsSet(cpu) {
				may.Zero()
				may.Set(cpu)
				_ = unix.SchedSetaffinity(0, &may)
				break
			}
		}
	}
	for n := uint64(1); n != 0; n += 2 {
	}
}

// used is the processor time of all threads of a process.
func used(t *testing.T, pid int) (total time.Duration) {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	for _, tid := range threads(dir) {
		b, err := os.ReadFile(filepath.Join(dir, "task", strconv.Itoa(tid), "schedstat"))
		if err != nil {
			t.Skip("this kernel keeps no account of threads:", err)
		}
		ns, _, _ := strings.Cut(string(b), " ")
		n, _ := strconv.ParseInt(ns, 10, 64)
		total += time.Duration(n)
	}
	return total
}

// TestYieldShare has two machines want the same processor all the time: the one behind gets next to nothing of it, whichever that is.
func TestYieldShare(t *testing.T) {
	if !groupsCount("/proc") && !mayRaise() {
		t.Skip("no means here to have processes yield")
	}
	one, two := spec("busy", true), spec("busy", true)
	one.Name, two.Name = "one", "two"
	k := keep(t, []Spec{one, two}, time.Hour, nil)
	pids := [2]int{k.begun[0].wait(t, 1)[0], k.begun[1].wait(t, 1)[0]}
	for front := range 2 {
		_ = k.Turn(front)
		linktest.Eventually(t, "the one behind yields", func() bool {
			some, _ := yields(t, pids[front])
			_, all := yields(t, pids[1-front])
			return !some && all
		})
		works := func(long time.Duration) {
			begun := used(t, pids[front])
			linktest.Eventually(t, "work of the one in front", func() bool { return used(t, pids[front])-begun > long })
		}
		share := 1.0
		for window := 0; window < 5 && share > 0.05; window++ { // the scheduler makes good first what it owed before
			f, b := used(t, pids[front]), used(t, pids[1-front])
			works(500 * time.Millisecond)
			f, b = used(t, pids[front])-f, used(t, pids[1-front])-b
			share = float64(b) / float64(f+b)
			t.Logf("in front %v, behind %v: %.1f %%", f, b, 100*share)
		}
		if share > 0.05 {
			t.Errorf("the one behind has %.1f %% of the processor that both want", 100*share)
		}
	}
}

// TestGroup writes what the kernel reads.
func TestGroup(t *testing.T) {
	g := &groups{parent: t.TempDir()}
	m, err := g.add()
	if err != nil {
		t.Fatal(err)
	}
	for _, behind := range []bool{true, false} {
		if err := m.yield(behind); err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{true: "1", false: "100"}[behind]
		cpu, _ := os.ReadFile(filepath.Join(m.dir, "cpu.weight"))
		io, _ := os.ReadFile(filepath.Join(m.dir, "io.weight"))
		if string(cpu) != want || string(io) != "default "+want {
			t.Errorf("%q and %q, want %q", cpu, io, want)
		}
	}
	m.remove()
	if err := m.yield(true); err == nil {
		t.Error("the group is still there")
	}
	if m, err := (*groups)(nil).add(); m != nil || err != nil {
		t.Error(m, err)
	}
}

func TestGroupsCount(t *testing.T) {
	for _, test := range []struct {
		enabled, cgroup string
		want            bool
	}{
		{"1\n", "0::/\n", true}, {"0\n", "0::/\n", false}, {"1\n", "4:cpu,cpuacct:/docker/x\n0::/\n", false}, {"1\n", "4:cpuset:/x\n0::/no-such-group\n", true}, {"1\n", "", true},
	} {
		proc := t.TempDir()
		for name, text := range map[string]string{"sys/kernel/sched_autogroup_enabled": test.enabled, "self/cgroup": test.cgroup} {
			path := filepath.Join(proc, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := groupsCount(proc); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
	if groupsCount(t.TempDir()) {
		t.Error("groups count where there are none")
	}
}
