package main

import (
	"fmt"
	"io"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a TCP connection read and written by blocking system calls of which Go's scheduler knows nothing. It would otherwise wake
// every 20 µs to look after the thread, which in a guest costs more exits than what is to be measured. So there must be no garbage
// collection, and nothing else to run.
type socket int

// connect makes a connection without Nagle's delay.
func connect(to netip.AddrPort) (socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return -1, fmt.Errorf("switch off Nagle's delay: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		return -1, fmt.Errorf("connect to %v: %w", to, err)
	}
	return socket(fd), nil
}

// Read implements io.Reader.
func (s socket) Read(p []byte) (int, error) {
	n, err := s.call(unix.SYS_READ, p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write implements io.Writer.
func (s socket) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := s.call(unix.SYS_WRITE, p[done:])
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

func (s socket) call(number uintptr, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(number, uintptr(s), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
