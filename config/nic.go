package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// NICModel is the hardware that a network adapter is presented as.
type NICModel string

// The network adapters.
const (
	NICVlance  NICModel = "vlance"  // AMD 79C970A
	NICE1000   NICModel = "e1000"   // 82545EM, 8086:100f
	NICE1000E  NICModel = "e1000e"  // 82574L, 8086:10d3
	NICVmxnet3 NICModel = "vmxnet3" // 15ad:07b0
	NICVirtio  NICModel = "virtio"  // 1af4:1041
)

// Connection is what a network adapter is wired to.
type Connection string

// The connections.
const (
	ConnUser     Connection = "user"     // user-mode NAT, needs no rights: VMware's nat
	ConnHostOnly Connection = "hostonly" // user mode without a way out
	ConnBridged  Connection = "bridged"  // a TAP device of ours, put on the host's bridge Interface
	ConnTap      Connection = "tap"      // the existing TAP device Interface
	ConnNone     Connection = "none"     // no cable
)

// MACSource says where a MAC address came from.
type MACSource string

// The sources, as VMware's addressType spells them.
const (
	MACGenerated MACSource = "generated"
	MACStatic    MACSource = "static"
	MACVPX       MACSource = "vpx" // assigned by vCenter
)

// MAC is an Ethernet address. The zero value means that the runner makes one up.
type MAC [6]byte

// String is the usual spelling with colons.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// MarshalText is String.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is [ParseMAC].
func (m *MAC) UnmarshalText(text []byte) error {
	mac, err := ParseMAC(string(text))
	*m = mac
	return err
}

// ParseMAC reads six pairs of hexadecimal digits separated by colons or dashes. A multicast address is refused.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		return MAC{}, fmt.Errorf("%q is not a MAC address (want 00:0c:29:12:34:56)", s)
	}
	if hw[0]&1 != 0 {
		return MAC{}, fmt.Errorf("%q is a multicast address and cannot be a network adapter's", s)
	}
	return MAC(hw), nil
}

// NIC is a network adapter.
type NIC struct {
	Index      int // the N of ethernetN, 0..9
	Model      NICModel
	MAC        MAC
	MACSource  MACSource
	Slot       PCISlot
	Connection Connection
	Interface  string    // host bridge or TAP device, for ConnBridged and ConnTap
	Publish    []Forward // host ports that lead to the guest, for ConnUser
	HostAccess bool      // the gateway address reaches the host's own services, for ConnUser and ConnHostOnly
	Allow      []NetRule // what the guest may reach, for ConnUser; none is everything beyond the host and its LAN
	LAN        bool      // private addresses as well, for ConnUser without Allow
	Boot       NetBoot   // what a guest is told that boots from the network, for ConnUser and ConnHostOnly
	Connected  bool      // link up at power-on
}

// NetBoot is what the DHCP server of a user-mode network says to programs that boot from it, and what there is for them by TFTP.
type NetBoot struct {
	Folder string // served read-only by TFTP at the gateway's address; absolute, "" for none
	File   string // what to load: a file of Folder or a URL, at most MaxBootFile bytes
	Script string // what iPXE is told in place of File, so that firmware can load iPXE by File
}

// MaxBootFile is what a DHCP message has room for, in bytes (RFC 2131, section 2).
const MaxBootFile = 127

// Forward leads a port of the host to one of the guest.
type Forward struct {
	UDP       bool // otherwise TCP
	HostAddr  netip.Addr
	HostPort  uint16
	GuestPort uint16
}

// String is the spelling that ParseForward reads.
func (f Forward) String() string {
	proto := "tcp"
	if f.UDP {
		proto = "udp"
	}
	return fmt.Sprintf("%s:%d/%s", netip.AddrPortFrom(f.HostAddr, f.HostPort), f.GuestPort, proto)
}

// ParseForward reads "[ADDRESS:]HOST:GUEST[/tcp|/udp]", as in "8080:80", "0.0.0.0:2222:22" or "[::1]:53:53/udp". Without an
// address it is 127.0.0.1, so that nothing is offered to the network by accident.
func ParseForward(s string) (Forward, error) {
	bad := fmt.Errorf("%q is not a port forward (want [ADDRESS:]HOSTPORT:GUESTPORT[/tcp|/udp])", s)
	spec, proto, found := strings.Cut(strings.TrimSpace(s), "/")
	if found && proto != "tcp" && proto != "udp" {
		return Forward{}, bad
	}
	f := Forward{UDP: proto == "udp", HostAddr: netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	colon := strings.LastIndexByte(spec, ':')
	if colon < 0 {
		return Forward{}, bad
	}
	host, guest := spec[:colon], spec[colon+1:]
	if addr, port, err := net.SplitHostPort(host); err == nil {
		if f.HostAddr, err = netip.ParseAddr(addr); err != nil || f.HostAddr.Zone() != "" {
			return Forward{}, bad
		}
		host = port
	}
	var ok bool
	if f.HostPort, ok = parsePort(host); !ok {
		return Forward{}, bad
	}
	if f.GuestPort, ok = parsePort(guest); !ok {
		return Forward{}, bad
	}
	return f, nil
}

func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n != 0
}
