package main

import (
	"time"

	"github.com/sharevm/vmm/internal/bench/line"
)

// sink keeps the compiler from leaving the work out.
var sink uint64 = 1

// spin keeps the processor busy for good, and says once a second how much it got done.
func spin() error {
	say(line.Ready)
	const step = 1000 // between looks at the clock
	done := 0
	for begun := time.Now(); ; {
		for range step {
			sink = sink*6364136223846793005 + 1442695040888963407 // Knuth's MMIX generator
		}
		done++
		if took := time.Since(begun); took >= time.Second {
			say(line.SpinLine(float64(done) / took.Seconds()))
			begun, done = time.Now(), 0
		}
	}
}
