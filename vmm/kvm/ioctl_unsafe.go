package kvm

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctl numbers as <asm-generic/ioctl.h> composes them; KVM's type is 0xAE.
const (
	dirNone  = 0
	dirWrite = 1
	dirRead  = 2
)

func ioc(dir, nr, size uintptr) uintptr { return dir<<30 | size<<16 | 0xAE<<8 | nr }

// call issues an ioctl whose argument is a plain number.
func call(fd int, req, arg uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, arg)
		if errno == 0 {
			return int(r), nil
		}
		if !transient(errno) {
			return 0, errno
		}
	}
}

// callPtr issues an ioctl whose argument is a structure.
func callPtr[T any](fd int, req uintptr, arg *T) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, uintptr(unsafe.Pointer(arg)))
		if errno == 0 {
			return int(r), nil
		}
		if !transient(errno) {
			return 0, errno
		}
	}
}

// transient tells the error after which a configuration ioctl is simply repeated: the Go runtime's own preemption signals
// interrupt long ones such as KVM_CREATE_VM. KVM_RUN never goes through here.
func transient(errno unix.Errno) bool { return errno == unix.EINTR }

func get[T any](nr uintptr) uintptr    { var t T; return ioc(dirRead, nr, unsafe.Sizeof(t)) }
func set[T any](nr uintptr) uintptr    { var t T; return ioc(dirWrite, nr, unsafe.Sizeof(t)) }
func getSet[T any](nr uintptr) uintptr { var t T; return ioc(dirRead|dirWrite, nr, unsafe.Sizeof(t)) }
