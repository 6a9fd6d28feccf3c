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

// TestWipe wipes what this process has in a page that children do not see.
func TestWipe(t *testing.T) {
	watched, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(watched)
	if err := unix.Madvise(watched, unix.MADV_WIPEONFORK); err != nil {
		t.Skip("this kernel wipes nothing: ", err)
	}
	kept := make([]byte, len(watched))
	watched[0], kept[0] = 1, 1
	// A process that ends meanwhile is none that fails.
	over := exec.Command("true")
	if err := over.Run(); err != nil {
		t.Fatal(err)
	}
	told, err := wipe([]string{"/proc/self", fmt.Sprintf("/proc/%d", over.Process.Pid)})
	if told != 1 || err != nil || watched[0] != 0 || kept[0] != 1 {
		t.Errorf("%d told, %v; watched %d, kept %d", told, err, watched[0], kept[0])
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
