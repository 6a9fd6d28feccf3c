package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// swapOn has the kernel swap to a disk.
func swapOn(path string) error {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SWAPON, uintptr(unsafe.Pointer(name)), 0, 0); errno != 0 {
		return &os.PathError{Op: "swapon", Path: path, Err: errno}
	}
	return nil
}
