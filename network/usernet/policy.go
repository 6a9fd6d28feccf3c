package usernet

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Protocol is what a flow speaks.
type Protocol uint8

// The protocols that leave the guest.
const (
	TCP Protocol = iota + 1
	UDP
	ICMP
)

func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case ICMP:
		return "icmp"
	}
	return "unknown"
}

// Policy decides which flows may leave the guest. It is asked once for each TCP connection, and once for each remote
// address and port that a UDP or ICMP flow speaks to (the port of an echo is 0). It runs on data paths and from several
// goroutines at once: it must be quick and safe for that. A flow that it refuses is answered as if nobody listened, and
// counted.
type Policy interface {
	Allow(proto Protocol, dst netip.AddrPort) bool
}

// NamePolicy is a Policy that also wants to know names: an allow-list by name lets those questions through, and then
// the addresses that they turned out to have. A question refused is answered with REFUSED.
type NamePolicy interface {
	Policy
	// AllowName decides on a question; name is in lower case and ends in a dot.
	AllowName(name string) bool
	// Resolved tells the addresses that a name was answered with, before the guest learns them.
	Resolved(name string, addrs []netip.Addr)
}

type allowAll struct{}

func (allowAll) Allow(Protocol, netip.AddrPort) bool { return true }

// egress decides on a new flow and returns where on the host's side it leads. It counts what it refuses.
func (n *Network) egress(proto Protocol, dst netip.AddrPort) (netip.AddrPort, bool) {
	to, ok := n.destination(dst)
	if !ok {
		n.stats.refusedHost.Add(1)
		return to, false
	}
	if !n.cfg.Policy.Allow(proto, dst) {
		n.stats.refusedPolicy.Add(1)
		return to, false
	}
	return to, true
}

// destination maps an address that the guest uses to the host's side, or says that no flow may go there.
func (n *Network) destination(dst netip.AddrPort) (netip.AddrPort, bool) {
	a := dst.Addr()
	switch {
	case a == n.cfg.Gateway:
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dst.Port())
		return to, n.cfg.HostAccess.allows(dst.Port())
	case n.cfg.Subnet.Contains(a), !a.Is4(), a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a.IsLinkLocalUnicast():
		return dst, false
	case a.As4()[0] == 0, a.As4()[0] >= 240: // "this network", reserved, broadcast (RFC 6890)
		return dst, false
	case isOwnAddress(dst):
		return dst, n.cfg.HostAccess.allows(dst.Port())
	}
	return dst, true
}

// isOwnAddress says whether dst is the host itself. The kernel is asked which source address it would take: that equals
// the destination only when the packet would not leave. Nothing is sent.
func isOwnAddress(dst netip.AddrPort) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true // out of file descriptors: the flow would fail as well
	}
	defer unix.Close(fd)
	if unix.Connect(fd, &unix.SockaddrInet4{Addr: dst.Addr().As4(), Port: max(1, int(dst.Port()))}) != nil {
		return false // no route: the flow will fail, and say why
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return true
	}
	own, ok := sa.(*unix.SockaddrInet4)
	return !ok || netip.AddrFrom4(own.Addr) == dst.Addr()
}
