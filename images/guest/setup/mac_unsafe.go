package setup

import (
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ifreqMAC is struct ifreq of linux/if.h where it holds a hardware address.
type ifreqMAC struct {
	name   [unix.IFNAMSIZ]byte
	family uint16
	addr   [14]byte
	_      [8]byte
}

// tryMAC gives a network interface another address by SIOCSIFHWADDR. Some drivers refuse that with EBUSY while it is on.
func tryMAC(name string, to net.HardwareAddr) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("the address of %s: %w", name, err)
	}
	defer unix.Close(s)
	r := ifreqMAC{family: unix.ARPHRD_ETHER}
	copy(r.name[:len(r.name)-1], name)
	copy(r.addr[:], to)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCSIFHWADDR, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return fmt.Errorf("the address of %s: %w", name, errno)
	}
	return nil
}
