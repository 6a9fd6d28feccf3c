package limits

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNiceOf(t *testing.T) {
	for shares, want := range map[int64]int{0: 0, 1000: 0, 500: 3, 2000: -3, 1: 19, 1_000_000: -20, 800: 1, 1250: -1} {
		if got := niceOf(shares); got != want {
			t.Errorf("%d shares make nice %d, want %d", shares, got, want)
		}
	}
}

// TestNice lowers the priority of a thread that counts as a vCPU's.
func TestNice(t *testing.T) {
	c := OpenCPU(false)
	if means, why := c.Means(); means != ByNice || why == nil {
		t.Errorf("%s, %v", means, why)
	}
	ready, change, done := make(chan struct{}), make(chan struct{}), make(chan int)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its priority
		defer c.Thread()()
		close(ready)
		<-change
		nice, _ := unix.Getpriority(unix.PRIO_PROCESS, 0) // the system call's own value: 20 less nice
		done <- 20 - nice
	}()
	<-ready
	if err := c.Apply(500, 0); err != nil {
		t.Fatal(err)
	}
	close(change)
	if nice := <-done; nice != 3 {
		t.Errorf("the thread has nice %d, want 3", nice)
	}
	if err := c.Apply(500, 1000); err == nil || !strings.Contains(err.Error(), "control group") {
		t.Errorf("a quota without a group: %v", err)
	}
	if shares, quota := c.InForce(); shares != 500 || quota != 0 {
		t.Errorf("%d and %d are in force", shares, quota)
	}
}

// TestThreadsEnd has a guest restart again and again: the threads that are gone are neither kept nor, under their numbers, somebody else's reniced.
func TestThreadsEnd(t *testing.T) {
	c := OpenCPU(false)
	for range 100 {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer c.Thread()()
		}()
		<-ended
	}
	if len(c.threads) != 0 {
		t.Errorf("%d threads that have ended are vCPUs", len(c.threads))
	}
}

// TestGroupFiles writes what the kernel reads.
func TestGroupFiles(t *testing.T) {
	for _, test := range []struct {
		shares, quota int64
		weight, max   string
	}{
		{0, 0, "100", "max 100000"}, {500, 1500, "50", "150000 100000"}, {1, 1, "1", "1000 100000"}, {1_000_000, 255_000, "10000", "25500000 100000"},
	} {
		dir := t.TempDir()
		open := func(name string) *os.File {
			f, err := os.Create(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		g := &group{weight: open("cpu.weight"), quota: open("cpu.max")}
		defer g.close()
		if err := g.apply(test.shares, test.quota); err != nil {
			t.Fatal(err)
		}
		weight, _ := os.ReadFile(g.weight.Name())
		limit, _ := os.ReadFile(g.quota.Name())
		if string(weight) != test.weight || string(limit) != test.max {
			t.Errorf("%d shares, quota %d: %q and %q, want %q and %q", test.shares, test.quota, weight, limit, test.weight, test.max)
		}
	}
}
