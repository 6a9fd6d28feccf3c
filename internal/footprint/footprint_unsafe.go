// Package footprint keeps this process small beside the guest's RAM that it holds.
package footprint

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// gcPercent makes the garbage collector come after 1 MiB of garbage, where it would wait for 4. A monitor's paths do not allocate, so it
// is seldom called anyway. Not so during the start, which makes more than that, and would pay for two collections.
const gcPercent = 25

// arena is the unit in which the Go runtime reserves its heap, in bytes, and the heap's alignment.
const arena = 64 << 20

// Process is this process, once it has been limited.
type Process struct {
	clean []span // this program's own read-only file mappings
}

// Limit makes the heap grow in small pages. It is best called before the heap has grown, and before a sandbox hides /proc.
//
// Where the kernel gives every mapping huge pages, a heap of some hundred KiB would take 4 MiB. The Makefile links the program so that the
// runtime never asks for them (disablethp, package runtime); built without that, what the heap has touched by now stays.
func Limit() *Process {
	var local byte // stacks lie in the heap's arenas
	heap := uintptr(unsafe.Pointer(&local)) &^ (arena - 1)
	// Best effort: without it the process works as well, and is larger.
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, heap, arena, unix.MADV_NOHUGEPAGE)
	return &Process{clean: ownFile()}
}

// ownFile finds the read-only mappings of this program's file; none where /proc does not tell.
func ownFile() (clean []span) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(maps)) {
		if m, ok := parse(strings.TrimSuffix(line, "\n")); ok && m.path == self && !m.writable {
			clean = append(clean, m.span)
		}
	}
	return clean
}

// maxInterval bounds the time between two calls of Shrink.
const maxInterval = 30 * time.Second

// Attend has the heap collected early after the time first, and calls Shrink, which it does again in intervals that double, until the function that it returns is called.
func (p *Process) Attend(first time.Duration) (stop func()) {
	done := make(chan struct{})
	go func() {
		for interval := first; ; interval = min(2*interval, maxInterval) {
			select {
			case <-done:
				return
			case <-time.After(interval):
				debug.SetGCPercent(gcPercent)
				p.Shrink()
			}
		}
	}()
	return func() { close(done) }
}

// Shrink gives back what was needed for a while and is no more: free heap, and pages of this program's own file, which come back
// from the page cache when they are used again. It takes a millisecond.
func (p *Process) Shrink() {
	debug.FreeOSMemory()
	for _, m := range p.clean {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED)
	}
}

// span is a range of addresses.
type span struct{ from, to uintptr }

// mapping is a line of /proc/PID/maps.
type mapping struct {
	span
	writable bool
	path     string // "" for memory without a file
}

// parse reads a line such as "00400000-0081b000 r-xp 00000000 08:01 6      /usr/bin/vmm".
func parse(s string) (m mapping, ok bool) {
	f := strings.Fields(s)
	if len(f) < 5 {
		return m, false
	}
	from, to, ok := strings.Cut(f[0], "-")
	a, err1 := strconv.ParseUint(from, 16, 64)
	b, err2 := strconv.ParseUint(to, 16, 64)
	if !ok || err1 != nil || err2 != nil || b <= a {
		return m, false
	}
	m.span = span{uintptr(a), uintptr(b)}
	m.writable = strings.Contains(f[1], "w")
	if i := strings.Index(s, "/"); i >= 0 {
		m.path = s[i:]
	}
	return m, true
}
