package agent

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestVisit runs on every processor and is where it was before.
func TestVisit(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	if n := visit(&before); n != before.Count() {
		t.Errorf("%d of %d processors", n, before.Count())
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("%v after %v: %v", after, before, err)
	}
}
