package usernet

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The sockets never block, so their calls are made without a word to Go's scheduler: it takes the processor away from a call of more than
// 20 µs, which one for 64 KiB can be, and so would change threads for each segment.

// receive reads from a socket.
func receive(fd int, p []byte) (int, error) {
	return result(unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0))
}

// send writes to a socket, without the signal that tells of a closed one.
func send(fd int, p []byte) (int, error) {
	return result(unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0))
}

// unread is the number of bytes that a socket has for receive.
func unread(fd int) (int, error) {
	var size int32
	_, err := result(unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&size))))
	return int(size), err
}

func result(n, _ uintptr, errno unix.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
