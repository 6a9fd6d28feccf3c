package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWipe wipes what this process has in pages that children do not see, and leaves alone one that holds something else by then.
func TestWipe(t *testing.T) {
	var pages [][]byte
	for range 2 {
		// Each in an area of its own.
		room, err := unix.Mmap(-1, 0, 3*os.Getpagesize(), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(room)
		page := room[os.Getpagesize():][:os.Getpagesize()]
		if err := unix.Mprotect(page, unix.PROT_READ|unix.PROT_WRITE); err != nil {
			t.Fatal(err)
		}
		if err := unix.Madvise(page, unix.MADV_WIPEONFORK); err != nil {
			t.Skip("this kernel wipes nothing: ", err)
		}
		page[0] = 1
		pages = append(pages, page)
	}
	kept := make([]byte, os.Getpagesize())
	kept[0] = 1
	var g generators
	if told := g.wipe(); told != 0 || pages[0][0] != 1 {
		t.Errorf("%d told that are not known", told)
	}
	// A process that ends meanwhile is none that fails.
	over := exec.Command("true")
	if err := over.Run(); err != nil {
		t.Fatal(err)
	}
	all := []string{"/proc/self", fmt.Sprintf("/proc/%d", over.Process.Pid)}
	for range 2 { // the second time it knows some already
		if err := g.find(all); err != nil {
			t.Fatal(err)
		}
	}
	pages[1][7] = 1
	if told := g.wipe(); told != 1 || pages[0][0] != 0 || pages[1][0] != 1 || kept[0] != 1 {
		t.Errorf("%d told; watched %d, used for something else %d, not watched %d", told, pages[0][0], pages[1][0], kept[0])
	}
	g.forget()
	if err := g.find(all[1:]); err != nil || g.wipe() != 0 {
		t.Errorf("of a process that has ended: %v", err)
	}
}

func TestWipedOnFork(t *testing.T) {
	const entry = "%s rw-p 00000000 00:00 0 %s\nSize: 4 kB\nAnonymous:             4 kB\nVmFlags: %s\n"
	text := fmt.Sprintf(entry, "7f0000001000-7f0000002000", "", "rd wr mr mw me ac wf sd") +
		fmt.Sprintf(entry, "7f0000003000-7f0000004000", "[heap]", "rd wr mr mw me ac") +
		fmt.Sprintf(entry, "7f0000004000-7f0040004000", "", "rd wr wf") + // far more than a page
		fmt.Sprintf(entry, "7f0050005000-7f0050006000", "/a b-c", "wf") +
		"VmFlags: wf wf\nnonsense\n\n-\n"
	got, err := wipedOnFork(strings.NewReader(text))
	if want := []area{{0x7f0000001000, 0x7f0000002000}, {0x7f0050005000, 0x7f0050006000}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%x, %v", got, err)
	}
}
