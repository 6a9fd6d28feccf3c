package sandbox

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// trapAvailable says why a filter that traps cannot be installed.
func trapAvailable() error {
	action := uint32(unix.SECCOMP_RET_TRAP)
	if _, err := seccomp(unix.SECCOMP_GET_ACTION_AVAIL, 0, unsafe.Pointer(&action)); err != nil {
		return &missingError{"this kernel has no filters of the needed kind (Linux 4.14 and later can)"}
	}
	return nil
}

func filterCalls(c *Config, landlocked bool) (string, error) {
	if err := trapAvailable(); err != nil {
		return "", err
	}
	list := calls(c, landlocked)
	program, err := assemble(list)
	if err != nil {
		return "", err
	}
	if err := watchTraps(c.Log); err != nil {
		return "", err
	}
	if err := install(program); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d system calls allowed", len(list)), nil
}

// install puts the filter on all threads.
//
// Kernels before 5.16 would make all threads with a filter slower for fear of code that the process itself runs and does not trust
// (speculative store bypass). There is none: guests run under KVM, which has its own guard. So they are told not to.
func install(program []unix.SockFilter) error {
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW)
	tid, err := seccomp(unix.SECCOMP_SET_MODE_FILTER, flags, unsafe.Pointer(&filter))
	if errors.Is(err, unix.EINVAL) {
		tid, err = seccomp(unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, unsafe.Pointer(&filter))
	}
	if err == nil && tid != 0 {
		err = fmt.Errorf("thread %d has a filter of its own", tid)
	}
	return err
}

func seccomp(op, flags uintptr, arg unsafe.Pointer) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, op, flags, uintptr(arg))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}
