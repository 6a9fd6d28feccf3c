package sandbox

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onAllThreads makes a system call that changes the calling thread on each thread of the process.
func onAllThreads(trap, a1, a2, a3 uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall(trap, a1, a2, a3); errno != 0 {
		return errno
	}
	return nil
}

func refusePrivileges() (string, error) {
	return "for all threads", onAllThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
}

// dropCapabilities empties every set. The bounding set can only be emptied by who has CAP_SETPCAP; without privileges it is
// not used for anything, since nothing is executed and nothing executed gains privileges.
func dropCapabilities() (string, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return "", err
	}
	const setPCap = 1 << unix.CAP_SETPCAP
	if sets[0].Effective&setPCap != 0 {
		for c := uintptr(0); ; c++ {
			has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
			if err != nil {
				break // past the last one of this kernel
			}
			if has == 0 {
				continue
			}
			if err := onAllThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0); err != nil {
				return "", fmt.Errorf("drop %d from the bounding set: %w", c, err)
			}
		}
	}
	held := sets[0].Permitted | sets[0].Inheritable | sets[1].Permitted | sets[1].Inheritable
	if held == 0 {
		return "had none", nil
	}
	sets = [2]unix.CapUserData{}
	// An ambient capability goes with the permitted one.
	if err := onAllThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets)), 0); err != nil {
		return "", err
	}
	return "all dropped", nil
}
