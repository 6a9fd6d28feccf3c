package main

import (
	"os/signal"
	"syscall"
)

// outliveReaders keeps the machine running when whoever reads its console goes away (vmm run ... | head): the Go runtime would end
// the program at the next write to standard output, in the middle of a guest's work on its disks.
func outliveReaders() { signal.Ignore(syscall.SIGPIPE) }
