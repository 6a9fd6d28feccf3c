package linktest

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// NeedRoot skips a test that needs root and the file at path where it cannot run, and says why. Where VMM_TEST_ROOT=1
// promises that it can, the test fails instead.
func NeedRoot(tb testing.TB, path string) {
	tb.Helper()
	why := ""
	if os.Geteuid() != 0 {
		why = "not root"
	} else if _, err := os.Stat(path); err != nil {
		why = err.Error()
	}
	switch {
	case why == "":
	case os.Getenv("VMM_TEST_ROOT") == "1":
		tb.Fatalf("cannot run although VMM_TEST_ROOT=1: needs root and %s: %s", path, why)
	default:
		tb.Skipf("needs root and %s: %s", path, why)
	}
}

// Netns is a network namespace of a test's own, held by a thread.
type Netns chan func()

// NewNetns makes a namespace that lasts as long as the test. It needs root.
func NewNetns(tb testing.TB) Netns {
	tb.Helper()
	ns := make(Netns)
	made := make(chan error)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine, and the namespace with it
		made <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range ns {
			f()
		}
	}()
	if err := <-made; err != nil {
		tb.Fatalf("making a network namespace: %v", err)
	}
	tb.Cleanup(func() {
		close(ns)
		<-ended
	})
	return ns
}

// Do runs f in the namespace. What f opens stays there.
func (ns Netns) Do(f func() error) error {
	err := make(chan error)
	ns <- func() { err <- f() }
	return <-err
}

// In runs f in a namespace and returns what it returns.
func In[T any](ns Netns, f func() (T, error)) (v T, err error) {
	err = ns.Do(func() error {
		v, err = f()
		return err
	})
	return v, err
}
