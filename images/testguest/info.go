package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// info prints what the guest sees of its machine, one fact a line: "info KEY VALUE".
func info(string) error {
	say("info cpus %d", runtime.NumCPU())
	say("info memory %d", totalMemory())
	for _, f := range []struct{ key, path string }{
		{"clocksource", "/sys/devices/system/clocksource/clocksource0/current_clocksource"},
		{"uuid", "/sys/class/dmi/id/product_uuid"},
		{"vendor", "/sys/class/dmi/id/sys_vendor"},
	} {
		b, _ := os.ReadFile(f.path)
		say("info %s %s", f.key, bytes.TrimSpace(b))
	}
	disks, _ := filepath.Glob("/sys/block/vd*")
	for _, d := range disks {
		size, _ := os.ReadFile(d + "/size")
		serial, _ := os.ReadFile(d + "/serial")
		ro, _ := os.ReadFile(d + "/ro")
		queues, _ := filepath.Glob(d + "/mq/*")
		say("info disk %s sectors=%s serial=%s ro=%s queues=%d", filepath.Base(d), bytes.TrimSpace(size), bytes.TrimSpace(serial), bytes.TrimSpace(ro), len(queues))
	}
	return complaints()
}

func totalMemory() uint64 {
	var si unix.Sysinfo_t
	if unix.Sysinfo(&si) != nil {
		return 0
	}
	return uint64(si.Totalram) * uint64(si.Unit)
}

// harmless are words of warnings that any virtual machine on Debian's kernel gives.
var harmless = []string{
	"module verification failed", // a module that Debian did not sign
	"loading out-of-tree",
	"mitigations",
	"Speculative Return Stack Overflow", "Retbleed", "Spectre", "MMIO Stale Data", "TSA:", // about the host's processor
	"unchecked MSR access", // printed once on hosts that hide MSRs
	"acpi PNP0A08:00: fail to add MMCONFIG", "can't access extended PCI configuration space",
	"device-mapper", "kvm: no hardware support",
}

// complaints fails when the kernel has warned about the board.
func complaints() error {
	buf := make([]byte, 1<<20)
	n, err := unix.Klogctl(3, buf) // SYSLOG_ACTION_READ_ALL
	if err != nil {
		return fmt.Errorf("read the kernel's log: %w", err)
	}
	var bad []string
	for _, l := range strings.Split(string(buf[:n]), "\n") {
		level := byte('7')
		if len(l) > 2 && l[0] == '<' {
			level = l[1]
		}
		if level > '4' || strings.HasPrefix(l, "<1") { // warnings and worse
			continue
		}
		known := false
		for _, h := range harmless {
			known = known || strings.Contains(l, h)
		}
		if !known {
			bad = append(bad, l)
		}
	}
	for _, l := range bad {
		say("info complaint %s", l)
	}
	return nil
}

// exerciseCPUs keeps every processor busy and checks that each made progress.
func exerciseCPUs(string) error {
	n := runtime.NumCPU()
	runtime.GOMAXPROCS(n)
	counts := make([]uint64, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			runtime.LockOSThread()
			var set unix.CPUSet
			set.Set(i)
			if unix.SchedSetaffinity(0, &set) != nil {
				return
			}
			for until := time.Now().Add(200 * time.Millisecond); time.Now().Before(until); {
				counts[i]++
			}
		})
	}
	wg.Wait()
	for i, c := range counts {
		if c == 0 {
			return fmt.Errorf("processor %d of %d did nothing", i, n)
		}
	}
	say("cpus %d", n)
	return nil
}
