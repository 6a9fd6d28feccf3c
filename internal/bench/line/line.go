// Package line is what the benchmark's guest says on its console, and the harness listens for.
package line

// The lines, in order. Failed is followed by the reason.
const (
	Init   = "bench: init runs"
	Failed = "bench: failed: "
	Ready  = "bench: ready"
)
