// Package line is what the benchmark's guest says on its console, and the harness listens for.
package line

// The lines, in order. Failed is followed by the reason.
const (
	Init   = "bench: init runs"
	Failed = "bench: failed: "
	Ready  = "bench: ready"
)

// Network is the argument, behind -- on the kernel's command line, that makes the guest take part in the network benchmark. The guest's
// address with its prefix's length and the server's address and port follow.
const Network = "network"
