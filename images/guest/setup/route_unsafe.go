package setup

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// rtentry is struct rtentry of linux/route.h on a 64-bit machine.
type rtentry struct {
	_       uint64
	dst     unix.RawSockaddrInet4
	gateway unix.RawSockaddrInet4
	genmask unix.RawSockaddrInet4
	flags   uint16
	_       [3]uint16
	_       uint64
	_       [2]uint64 // tos, class, metric
	dev     uint64
	_       [3]uint64 // mtu, window, irtt
}

// addRoute adds a default route by SIOCADDRT, unless it is there.
func addRoute(socket int, gateway [4]byte) error {
	rt := rtentry{
		dst:     unix.RawSockaddrInet4{Family: unix.AF_INET},
		gateway: unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: gateway},
		genmask: unix.RawSockaddrInet4{Family: unix.AF_INET},
		flags:   unix.RTF_UP | unix.RTF_GATEWAY,
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCADDRT, uintptr(unsafe.Pointer(&rt)))
	if errno != 0 && errno != unix.EEXIST { // a lease that is renewed
		return errno
	}
	return nil
}
