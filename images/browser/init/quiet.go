package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
)

const (
	quietStep  = 100 * time.Millisecond
	quietSteps = 5               // in a row
	quietLimit = 5 * time.Minute // a page that is never done is ready then
	quietShare = 25              // percent of the processors' time that may still be in use
)

// awaitQuiet marks the machine as ready when it has drawn its page: once the processors have had next to nothing to do for half a second. What a restore makes fresh is looked for before,
// since a machine that is ready may be saved.
func awaitQuiet() {
	awaitRest(quietLimit, browserRuns)
	if err := programs.find(allProcesses()); err != nil {
		say("%v", err)
	}
	say("ready")
	mark(setup.MarkReady)
}

// awaitRest waits until the processors have had next to nothing to do for half a second while there was what is waited for, or for limit.
func awaitRest(limit time.Duration, there func() bool) {
	deadline := time.Now().Add(limit)
	busy, total := processorTime()
	for quiet := 0; quiet < quietSteps && time.Now().Before(deadline); {
		time.Sleep(quietStep)
		b, t := processorTime()
		if (b-busy)*100 <= (t-total)*quietShare && there() {
			quiet++
		} else {
			quiet = 0
		}
		busy, total = b, t
	}
}

// browserRuns says whether some process draws pages.
func browserRuns() bool {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return false
	}
	return slices.ContainsFunc(files, func(f string) bool {
		b, err := os.ReadFile(f)
		return err == nil && bytes.Contains(b, []byte("--type=renderer"))
	})
}

// processorTime is how long the processors worked and how long they were there, in the same unit, from the first line of /proc/stat.
func processorTime() (busy, total int64) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	return parseStat(string(b))
}

func parseStat(stat string) (busy, total int64) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0
	}
	for i, f := range fields[1:9] { // what follows is contained in these
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, 0
		}
		total += n
		const idle, steal = 3, 7
		if i != idle && i != steal { // to wait for the disk is work: the page is not there yet
			busy += n
		}
	}
	return busy, total
}
