// Package threadtime tells what a monitor takes of the processors beside its guest.
package threadtime

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Times is processor time of a machine's process: of threads that run no guest, and of those that do, while they are out of it. The kernel counts it in ticks.
type Times struct{ Workers, Exits time.Duration }

// Of is what the process has taken so far.
func Of(pid int) (t Times) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid)) // the pattern is right
	for _, name := range tasks {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		// From the state on, which is the third field (proc(5)); the second one may hold anything.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		tick := func(i int) time.Duration {
			n, _ := strconv.Atoi(fields[i-3]) // the kernel writes a number
			return time.Duration(n) * time.Second / 100
		}
		const utime, stime, guestTime = 14, 15, 43
		if own := tick(utime) + tick(stime) - tick(guestTime); tick(guestTime) == 0 {
			t.Workers += own
		} else {
			t.Exits += own
		}
	}
	return t
}
