package nested

import (
	"time"

	"golang.org/x/sys/unix"
)

// rdtsc reads the processor's time stamp counter.
func rdtsc() uint64

// tscKHz measures the frequency of the host's time stamp counter, which a guest under emulation sees unchanged. Without it the guest has to
// calibrate with emulated timers, gets it wrong under load, and its clock falls back to the HPET or drifts. 50 ms
// give an error below 20 parts per million.
func tscKHz() uint64 {
	const window = 50 * time.Millisecond
	t0, c0 := stamp()
	time.Sleep(window)
	t1, c1 := stamp()
	return uint64(float64(c1-c0) / (t1 - t0).Seconds() / 1e3)
}

// stamp reads clock and counter at the same moment: of several tries the one that took the shortest.
func stamp() (clock time.Duration, counter uint64) {
	best := uint64(1<<64 - 1)
	for range 8 {
		var ts unix.Timespec
		before := rdtsc()
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &ts)
		after := rdtsc()
		if d := after - before; d < best {
			best, clock, counter = d, time.Duration(ts.Nano()), before+d/2
		}
	}
	return clock, counter
}
