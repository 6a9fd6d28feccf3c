package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctl makes a call of a driver that fills b.
func ioctl(f *os.File, request uintptr, b []byte) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&b[0]))); errno != 0 {
		return &os.PathError{Op: "ioctl", Path: f.Name(), Err: errno}
	}
	return nil
}
