package main

import "runtime"

// leaveProcessor sees to it that Go has a processor beside those of the vCPUs, whatever the host has. A vCPU in the guest keeps its own until
// the runtime's monitor thread, which looks every 20 µs to 10 ms, takes it away: the workers of devices would wait for that.
func leaveProcessor(vcpus int) {
	if runtime.GOMAXPROCS(0) <= vcpus {
		runtime.GOMAXPROCS(vcpus + 1)
	}
}
