package usernet

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/internal/localnet"
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

// Region is how near to the host a flow's destination is.
type Region uint8

// The regions.
const (
	World Region = iota // beyond the host's own network, as far as an address tells
	LAN                 // a private address, of the host's site or provider
	Host                // the host itself, at a port that Config.HostAccess names
)

// Flow is what a guest wants to speak to: one TCP connection, or one remote address and port of a UDP or ICMP flow (the port of an echo
// is 0).
type Flow struct {
	Protocol Protocol
	To       netip.AddrPort
	Region   Region
}

// Policy decides which flows may leave the guest. It is asked once for each flow, after what no guest may reach has been refused. It runs
// on data paths and from several goroutines at once: it must be quick and safe for that. A flow that it refuses is answered as if
// nobody listened, and counted.
type Policy interface {
	Allow(Flow) bool
}

// NamePolicy is a Policy that also wants to know names: an allow-list by name lets those questions through, and then
// the addresses that they turned out to have. A question refused is answered with REFUSED.
type NamePolicy interface {
	Policy
	// AllowName decides on a question; name is in lower case and ends in a dot.
	AllowName(name string) bool
	// Resolved tells the addresses that a name was answered with, before the guest learns them.
	Resolved(name string, found []Resolution)
}

// Resolution is an address of a name, and for how long the answer said that it is one.
type Resolution struct {
	Addr netip.Addr
	TTL  time.Duration
}

// Outbound is the policy of a network without rules: out to the world, and to the host where HostAccess says so.
type Outbound struct {
	LAN bool // to private addresses as well
}

// Allow implements Policy.
func (o Outbound) Allow(f Flow) bool { return f.Region != LAN || o.LAN }

// HostOnly is the policy of a network without a way out: to the host where HostAccess says so. Names stay unanswered, since a question to a
// server of the guest's choice carries whatever it likes to the outside.
type HostOnly struct{}

var _ NamePolicy = HostOnly{}

// Allow implements Policy.
func (HostOnly) Allow(f Flow) bool { return f.Region == Host }

// AllowName implements NamePolicy.
func (HostOnly) AllowName(string) bool { return false }

// Resolved implements NamePolicy.
func (HostOnly) Resolved(string, []Resolution) {}

// egress decides on a new flow and returns where on the host's side it leads. It counts what it refuses.
func (n *Network) egress(proto Protocol, dst netip.AddrPort) (netip.AddrPort, bool) {
	to, region, ok := n.destination(dst)
	switch {
	case !ok:
		n.refuse(RefusedHost, proto, dst)
	case !n.cfg.Policy.Allow(Flow{Protocol: proto, To: dst, Region: region}):
		ok = false
		if region == LAN {
			n.refuse(RefusedLAN, proto, dst)
		} else {
			n.refuse(RefusedPolicy, proto, dst)
		}
	}
	return to, ok
}

// destination maps an address that the guest uses to the host's side, or says that no flow may go there.
func (n *Network) destination(dst netip.AddrPort) (to netip.AddrPort, region Region, ok bool) {
	a := dst.Addr()
	switch {
	case a == n.cfg.Gateway:
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dst.Port())
		return to, Host, n.cfg.HostAccess.allows(dst.Port())
	case n.cfg.Subnet.Contains(a), !a.Is4(), a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a.IsLinkLocalUnicast():
		return dst, Host, false
	case a.As4()[0] == 0, a.As4()[0] >= 240: // "this network", reserved, broadcast (RFC 6890)
		return dst, Host, false
	case isOwnAddress(dst):
		return dst, Host, n.cfg.HostAccess.allows(dst.Port())
	case localnet.Contains(a):
		return dst, LAN, true
	}
	return dst, World, true
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
