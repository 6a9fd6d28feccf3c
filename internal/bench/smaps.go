package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// footprint is what a process holds beside its guest's RAM, in bytes.
type footprint struct {
	pss       uint64 // proportional: a page that n processes map counts 1/n
	anonymous uint64 // of its own, not from a file: heap, stacks, copied data
}

// measureMemory reads the footprint of a process whose guest has ram bytes of RAM.
func measureMemory(pid int, ram uint64) (footprint, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return footprint{}, err
	}
	defer f.Close()
	return parseSmaps(f, ram)
}

// parseSmaps adds up all mappings but the one that is the guest's RAM: the writable one of exactly its size, of which there must be one.
func parseSmaps(r io.Reader, ram uint64) (footprint, error) {
	var sum footprint
	var guest bool
	found := 0
	for s := bufio.NewScanner(r); s.Scan(); {
		name, rest, _ := strings.Cut(s.Text(), " ")
		if !strings.HasSuffix(name, ":") { // the head of a mapping: ADDRESS-ADDRESS PERMISSIONS ...
			size, err := span(name)
			if err != nil {
				return footprint{}, err
			}
			if guest = size == ram && strings.HasPrefix(rest, "rw"); guest {
				found++
			}
			continue
		}
		if guest || (name != "Pss:" && name != "Anonymous:") {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return footprint{}, fmt.Errorf("smaps: %q: %w", s.Text(), err)
		}
		if name == "Pss:" {
			sum.pss += kib << 10
		} else {
			sum.anonymous += kib << 10
		}
	}
	if found != 1 {
		return footprint{}, fmt.Errorf("%d mappings have the size of the guest's RAM (%d bytes), want one", found, ram)
	}
	return sum, nil
}

// span is the size of an address range as smaps writes it.
func span(s string) (uint64, error) {
	a, b, ok := strings.Cut(s, "-")
	from, err1 := strconv.ParseUint(a, 16, 64)
	to, err2 := strconv.ParseUint(b, 16, 64)
	if !ok || err1 != nil || err2 != nil || to < from {
		return 0, fmt.Errorf("smaps: %q is no address range", s)
	}
	return to - from, nil
}
