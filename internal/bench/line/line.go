// Package line is what the benchmark's guest says on its console, and the harness listens for.
package line

import (
	"fmt"
	"strconv"
	"strings"
)

// The lines, in order. Failed is followed by the reason.
const (
	Init   = "bench: init runs"
	Failed = "bench: failed: "
	Ready  = "bench: ready"
)

// Network is the argument, behind -- on the kernel's command line, that makes the guest take part in the network benchmark. The guest's
// address with its prefix's length and the server's address and port follow.
const Network = "network"

// Spin is the argument that keeps the guest busy, and has it say again and again how much it gets done.
const Spin = "spin"

// SpinLine says how much the guest got done in the last second, in thousands of steps.
func SpinLine(thousands float64) string { return fmt.Sprintf("bench: spin %.1f", thousands) }

// ParseSpin reads a line of SpinLine, which may stand behind something else.
func ParseSpin(s string) (thousands float64, ok bool) {
	_, number, ok := strings.Cut(s, "bench: spin ")
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	return v, err == nil
}
