// Package blockload is what the block benchmark's guest does to its disk, and how it says so on its console. The harness beside the
// monitor takes the time when the lines come, so that one clock serves all monitors.
package blockload

import (
	"fmt"
	"strings"
	"time"
)

// Argument, behind -- on the kernel's command line, makes the guest load its disk.
const Argument = "block"

// Load is one kind of access.
type Load struct {
	Name   string
	Size   int  // bytes of one access
	Depth  int  // accesses in flight
	Write  bool // else read
	Random bool // else one after the other
}

// Loads are done in this order. The disk bypasses the guest's page cache (O_DIRECT).
var Loads = []Load{
	{Name: "seqread", Size: 1 << 20, Depth: 4},
	{Name: "seqwrite", Size: 1 << 20, Depth: 4, Write: true},
	{Name: "randread-1", Size: 4 << 10, Depth: 1, Random: true},
	{Name: "randread-32", Size: 4 << 10, Depth: 32, Random: true},
	{Name: "randwrite-1", Size: 4 << 10, Depth: 1, Random: true, Write: true},
	{Name: "randwrite-32", Size: 4 << 10, Depth: 32, Random: true, Write: true},
}

const (
	// WarmUp is how long a load runs before it counts.
	WarmUp = 200 * time.Millisecond
	// Duration is how long it counts.
	Duration = 800 * time.Millisecond
)

const (
	beginMark = "bench: load begins: "
	endMark   = "bench: load ends: "
)

// Begin is the line that starts the clock of a load.
func Begin(name string) string { return beginMark + name }

// End is the line that stops it, after so many accesses.
func End(name string, accesses int) string { return fmt.Sprintf("%s%s %d", endMark, name, accesses) }

// Parse takes a console's line apart. name is empty when it is neither a Begin nor an End.
func Parse(text string) (name string, accesses int, ends bool) {
	if _, rest, ok := strings.Cut(text, beginMark); ok {
		return rest, 0, false
	}
	if _, rest, ok := strings.Cut(text, endMark); ok {
		if _, err := fmt.Sscanf(rest, "%s %d", &name, &accesses); err != nil {
			return "", 0, false
		}
		return name, accesses, true
	}
	return "", 0, false
}

// Unit is what Rate counts in.
func (l Load) Unit() string {
	if l.Random {
		return "IOPS"
	}
	return "MiB/s"
}

// Rate turns a count of accesses into what is reported: accesses a second of random loads, MiB/s of sequential ones.
func (l Load) Rate(accesses int, took time.Duration) float64 {
	perSecond := float64(accesses) / took.Seconds()
	if l.Random {
		return perSecond
	}
	return perSecond * float64(l.Size) / (1 << 20)
}
