package setup

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Up switches on a network interface.
func Up(name string) error { return setUp(name, true) }

func setUp(name string, up bool) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("switching %s: %w", name, err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("switching %s: %w", name, err)
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, ifr); err != nil {
		return fmt.Errorf("switching %s: %w", name, err)
	}
	flags := ifr.Uint16() &^ unix.IFF_UP
	if up {
		flags |= unix.IFF_UP
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("switching %s: %w", name, err)
	}
	return nil
}

// setMAC gives a network interface another address. Where the driver cannot do that under way, the interface is off for a moment, and its routes by a gateway are gone.
func setMAC(name string, to net.HardwareAddr) error {
	err := tryMAC(name, to)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	if err := setUp(name, false); err != nil {
		return err
	}
	return errors.Join(tryMAC(name, to), Up(name))
}

// IPv4 gives a network interface an address, switches it on, and sends everything else through gateway unless that is zero.
func IPv4(name string, addr, mask, gateway [4]byte) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("configuring %s: %w", name, err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("configuring %s: %w", name, err)
	}
	for _, set := range []struct {
		req uint
		ip  [4]byte
	}{{unix.SIOCSIFADDR, addr}, {unix.SIOCSIFNETMASK, mask}} {
		if err := ifr.SetInet4Addr(set.ip[:]); err != nil {
			return fmt.Errorf("configuring %s: %w", name, err)
		}
		if err := unix.IoctlIfreq(s, set.req, ifr); err != nil {
			return fmt.Errorf("configuring %s: %w", name, err)
		}
	}
	if err := Up(name); err != nil {
		return err
	}
	if gateway == [4]byte{} {
		return nil
	}
	if err := addRoute(s, gateway); err != nil {
		return fmt.Errorf("setting the default route by %s: %w", name, err)
	}
	return nil
}
