package event

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// These go past the runtime's scheduler, which need not know of calls that never block: telling it costs as much user time again,
// and wakes its monitor thread when the process was idle.

// write8 writes p to the eventfd fd.
func write8(fd uintptr, p *[8]byte) {
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(p)), uintptr(len(p)))
}

// read8 reads the eventfd fd into p.
func read8(fd uintptr, p *[8]byte) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(p)), uintptr(len(p)))
	return errno
}
