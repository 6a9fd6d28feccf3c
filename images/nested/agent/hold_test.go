package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHoldVM keeps a VM, which no command gets.
func TestHoldVM(t *testing.T) {
	if err := unix.Access("/dev/kvm", unix.R_OK|unix.W_OK); err != nil {
		if os.Getenv("VMM_TEST_KVM") == "require" {
			t.Fatal(err)
		}
		t.Skip("no KVM:", err)
	}
	if err := holdVM(); err != nil {
		t.Fatal(err)
	}
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); to != "anon_inode:kvm-vm" {
			continue
		}
		kept++
		n, err := strconv.Atoi(filepath.Base(fd))
		if err != nil {
			t.Fatal(err)
		}
		if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("a command gets the VM: %v", err)
		}
	}
	if kept != 1 {
		t.Errorf("%d VMs are kept", kept)
	}
}
