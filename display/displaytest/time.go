package displaytest

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ThreadTime is the processor time of this thread, which on a busy machine says more than time does. The caller's goroutine should be locked to it.
func ThreadTime(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
