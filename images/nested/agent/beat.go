package agent

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// walk runs on each processor in turn at each beat. Under emulation a processor can lose an interrupt on the way into sleep; it gets that when another one comes, and the beat's own
// reaches one processor only.
func walk(beats <-chan struct{}) {
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	var all unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil {
		return // without processors to choose from there is nothing to do
	}
	for range beats {
		visit(&all)
	}
}

// visit runs on each of the processors, and returns on how many it did. In the end this thread may run on all of them again.
func visit(all *unix.CPUSet) (n int) {
	for cpu, left := 0, all.Count(); left > 0; cpu++ {
		if !all.IsSet(cpu) {
			continue
		}
		left--
		var one unix.CPUSet
		one.Set(cpu)
		if unix.SchedSetaffinity(0, &one) == nil { // it returns there
			n++
		}
	}
	_ = unix.SchedSetaffinity(0, all) // was so before
	return n
}
