package usernet

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"
)

// Limits that hold where a Config does not name its own.
const (
	DefaultMTU    = 1500
	DefaultMaxTCP = 1024 // connections, both ways together
	DefaultMaxUDP = 256  // UDP flows out of the guest, and as many clients of forwarded UDP ports

	DefaultUDPIdle = 2 * time.Minute // RFC 4787, section 4.3
)

// Config describes a network. The zero value is a network as people know it from QEMU: 10.0.2.0/24, nothing
// published, the host out of reach.
type Config struct {
	Subnet  netip.Prefix // IPv4, at most /29; default 10.0.2.0/24
	Gateway netip.Addr   // default: the subnet's address + 2
	DNS     netip.Addr   // default: + 3
	Guest   netip.Addr   // the address that DHCP hands out; default: + 15, or + 4 in a small subnet

	MTU      int              // 576..65520 bytes; default DefaultMTU
	MAC      net.HardwareAddr // the gateway's; default 52:55 and the gateway's address
	Hostname string           // handed out by DHCP when not empty

	// Resolvers are asked on the guest's behalf, in this order. Empty: those in /etc/resolv.conf, which is looked
	// at again when it changes.
	Resolvers []netip.AddrPort
	// OpenResolvConf opens that file, for a process that cannot do so by its name. Nil opens it by its name.
	OpenResolvConf func() (*os.File, error)

	// Forwards are published from the start; Publish adds more.
	Forwards []Forward

	// HostAccess is what the guest may reach of the host, at the gateway's address (which stands for the host's
	// loopback) or any of the host's own addresses. Default: nothing.
	HostAccess HostAccess

	// Boot is for a guest that boots from the network. Default: nothing, so that it looks elsewhere.
	Boot Boot

	// Policy is asked about each new flow out of the guest. Nil is Outbound{}.
	Policy Policy

	// OnLease is called when the guest's DHCP request has been acknowledged: from then on the network is up. It
	// runs in the card's worker and must not block or call the network.
	OnLease func(Lease)

	MaxTCP int // default DefaultMaxTCP
	MaxUDP int // default DefaultMaxUDP

	// MaxBuffered is how many bytes all TCP connections together may hold for sides that are slow; default DefaultMaxBuffered. Each
	// may hold 8 KiB a direction in any case.
	MaxBuffered int

	// UDPIdle ends a UDP flow that carried nothing for so long; default DefaultUDPIdle.
	UDPIdle time.Duration

	Logger *slog.Logger // nil discards
}

// Lease is what DHCP gave to the guest.
type Lease struct {
	Addr     netip.Prefix
	MAC      net.HardwareAddr
	Hostname string // as the guest calls itself; hostile text
}

// HostAccess says which ports of the host a guest may reach, TCP and UDP.
type HostAccess struct {
	All   bool
	Ports []uint16
}

func (h HostAccess) allows(port uint16) bool { return h.All || slices.Contains(h.Ports, port) }

// withDefaults returns the configuration with every field filled in, or says what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if !c.Subnet.IsValid() {
		c.Subnet = netip.MustParsePrefix("10.0.2.0/24")
	}
	c.Subnet = c.Subnet.Masked()
	if !c.Subnet.Addr().Is4() || c.Subnet.Bits() > 29 || c.Subnet.Bits() < 8 {
		return c, fmt.Errorf("user network: subnet %v: want an IPv4 one from /8 to /29", c.Subnet)
	}
	guest := uint32(15)
	if c.Subnet.Bits() > 27 {
		guest = 4
	}
	for _, a := range []struct {
		what string
		addr *netip.Addr
		host uint32
	}{{"gateway", &c.Gateway, 2}, {"DNS server", &c.DNS, 3}, {"guest", &c.Guest, guest}} {
		if !a.addr.IsValid() {
			*a.addr = nth(c.Subnet, a.host)
		}
		if !c.Subnet.Contains(*a.addr) || *a.addr == c.Subnet.Addr() || *a.addr == broadcast(c.Subnet) {
			return c, fmt.Errorf("user network: %s %v is not a host address of %v", a.what, *a.addr, c.Subnet)
		}
	}
	if c.Gateway == c.DNS || c.Gateway == c.Guest || c.DNS == c.Guest {
		return c, fmt.Errorf("user network: gateway %v, DNS server %v and guest %v must differ", c.Gateway, c.DNS, c.Guest)
	}
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.MTU < 576 || c.MTU > 65520 {
		return c, fmt.Errorf("user network: MTU %d: want 576 to 65520", c.MTU)
	}
	if c.MAC == nil {
		c.MAC = append(net.HardwareAddr{0x52, 0x55}, c.Gateway.AsSlice()...)
	}
	if len(c.MAC) != 6 || c.MAC[0]&1 != 0 {
		return c, fmt.Errorf("user network: gateway's MAC %v: want a unicast one of 6 bytes", c.MAC)
	}
	if len(c.Hostname) > 255 {
		return c, fmt.Errorf("user network: hostname of %d bytes: want at most 255", len(c.Hostname))
	}
	if err := c.Boot.check(); err != nil {
		return c, err
	}
	if c.MaxTCP <= 0 {
		c.MaxTCP = DefaultMaxTCP
	}
	if c.MaxUDP <= 0 {
		c.MaxUDP = DefaultMaxUDP
	}
	if c.MaxBuffered <= 0 {
		c.MaxBuffered = DefaultMaxBuffered
	}
	if c.UDPIdle <= 0 {
		c.UDPIdle = DefaultUDPIdle
	}
	if c.Policy == nil {
		c.Policy = Outbound{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// nth is the address that many behind the first of an IPv4 prefix.
func nth(p netip.Prefix, host uint32) netip.Addr {
	a := p.Addr().As4()
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])+host)
	return netip.AddrFrom4(a)
}

// broadcast is the last address of an IPv4 prefix.
func broadcast(p netip.Prefix) netip.Addr { return nth(p, 1<<(32-p.Bits())-1) }
