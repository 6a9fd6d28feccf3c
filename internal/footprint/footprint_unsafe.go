// Package footprint keeps this process small beside the guest's RAM that it holds.
package footprint

import (
	"bufio"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// gcPercent halves what the garbage collector lets pile up (2 MiB instead of 4 at the least). A monitor's paths do not allocate,
// so it is seldom called anyway.
const gcPercent = 50

// arena is the unit in which the Go runtime reserves its heap, in bytes, and the heap's alignment.
const arena = 64 << 20

// Limit makes the heap grow in small pages and be collected early. It is best called before the heap has grown.
//
// Where the kernel gives every mapping huge pages, a heap of some hundred KiB would take 4 MiB.
func Limit() {
	debug.SetGCPercent(gcPercent)
	var local byte // stacks lie in the heap's arenas
	heap := uintptr(unsafe.Pointer(&local)) &^ (arena - 1)
	// Best effort: without it the process works as well, and is larger.
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, heap, arena, unix.MADV_NOHUGEPAGE)
}

// Shrink gives back what the start needed and the run does not: free heap, and pages of this program's own file, which come back
// from the page cache when they are used again.
func Shrink() {
	debug.FreeOSMemory()
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	var clean []span
	for s := bufio.NewScanner(maps); s.Scan(); {
		if m, ok := parse(s.Text()); ok && m.path == self && !m.writable {
			clean = append(clean, m.span)
		}
	}
	for _, m := range clean {
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
