package linktest

import (
	"net/netip"

	"github.com/vishvananda/netlink"
)

// LoopbackUp sets the loopback interface of the calling thread's network namespace up.
func LoopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// LoopbackAddr puts an address on the loopback interface of the calling thread's network namespace.
func LoopbackAddr(addr netip.Prefix) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(addr.String())
	if err != nil {
		return err
	}
	return netlink.AddrAdd(lo, a)
}
