package evdev

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bytes asks the device to fill n bytes.
func (d *device) bytes(nr, n int) ([]byte, error) {
	p := make([]byte, n)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), uintptr(get(nr, n)), uintptr(unsafe.Pointer(&p[0]))); errno != 0 {
		return nil, fmt.Errorf("ask an event device (%#x): %w", nr, errno)
	}
	return p, nil
}
