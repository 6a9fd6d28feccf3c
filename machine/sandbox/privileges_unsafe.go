package sandbox

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onAllThreads makes a system call that changes the calling thread on each thread of the process. No argument may be a pointer.
func onAllThreads(trap, a1, a2, a3 uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall(trap, a1, a2, a3); errno != 0 {
		return errno
	}
	return nil
}

func refusePrivileges() (string, error) {
	return "for all threads", onAllThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
}

// secureBits ends root's way to capabilities by execve(2) and setuid(2), and nobody can undo it (capabilities(7), "The securebits flags"):
// NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE with their locks, and KEEP_CAPS locked as it is, clear.
const secureBits = 0b1110_1111

// dropCapabilities empties the effective, permitted, inheritable and ambient sets. The bounding set, which limits what executing a
// program can gain, is left: who could be limited by it gains nothing any more, root by secureBits and programs with
// capabilities of their own by no_new_privs. To empty it takes a stop of the world for each of 41 capabilities.
func dropCapabilities() (string, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return "", err
	}
	if sets[0].Effective&(1<<unix.CAP_SETPCAP) != 0 {
		if err := onAllThreads(unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, secureBits, 0); err != nil {
			return "", fmt.Errorf("secure bits: %w", err)
		}
	}
	held := sets[0].Permitted | sets[0].Inheritable | sets[1].Permitted | sets[1].Inheritable
	if held == 0 {
		return "had none", nil
	}
	sets = [2]unix.CapUserData{}
	// An ambient capability goes with the permitted one.
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets)), 0); errno != 0 {
		return "", errno
	}
	return "all dropped", nil
}
