package usernet

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	dhcpServerPort = 67
	dhcpClientPort = 68
	leaseTime      = 24 * time.Hour
)

// handleDHCP answers a DHCP message of the guest (RFC 2131, section 4.3). There is one address and one guest, so that
// there is nothing to remember: whoever asks is given it.
func (n *Network) handleDHCP(payload []byte) {
	req, err := dhcpv4.FromBytes(payload)
	if err != nil || req.OpCode != dhcpv4.OpcodeBootRequest || req.HWType != iana.HWTypeEthernet || len(req.ClientHWAddr) != 6 {
		n.stats.fromGuestMalformed.Add(1)
		return
	}
	reply, ok := n.dhcpReply(req)
	if !ok {
		return
	}
	n.sendDHCP(req, reply)
	if reply.MessageType() == dhcpv4.MessageTypeAck && !reply.YourIPAddr.IsUnspecified() {
		n.stats.leases.Add(1)
		n.cfg.Logger.Debug("user network: address leased", "addr", n.cfg.Guest, "mac", req.ClientHWAddr)
		if n.cfg.OnLease != nil {
			n.cfg.OnLease(Lease{
				Addr:     netip.PrefixFrom(n.cfg.Guest, n.cfg.Subnet.Bits()),
				MAC:      append(net.HardwareAddr(nil), req.ClientHWAddr...),
				Hostname: req.HostName(),
			})
		}
	}
}

// dhcpReply is the answer to a message, if there is to be one.
func (n *Network) dhcpReply(req *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) {
	kind, give := dhcpv4.MessageTypeAck, true
	switch req.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeRequest:
		if id := req.ServerIdentifier(); id != nil && !id.Equal(n.cfg.Gateway.AsSlice()) {
			return nil, false // it chose another server
		}
		wanted := req.RequestedIPAddress()
		if wanted == nil || wanted.IsUnspecified() {
			wanted = req.ClientIPAddr
		}
		if !wanted.Equal(n.cfg.Guest.AsSlice()) {
			kind, give = dhcpv4.MessageTypeNak, false
		}
	case dhcpv4.MessageTypeInform:
		give = false
	default:
		return nil, false
	}
	gateway := net.IP(n.cfg.Gateway.AsSlice())
	mods := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(gateway)),
	}
	if kind != dhcpv4.MessageTypeNak {
		mods = append(mods,
			dhcpv4.WithNetmask(net.CIDRMask(n.cfg.Subnet.Bits(), 32)),
			dhcpv4.WithRouter(gateway),
			dhcpv4.WithDNS(n.cfg.DNS.AsSlice()),
			dhcpv4.WithOption(dhcpv4.OptBroadcastAddress(broadcast(n.cfg.Subnet).AsSlice())),
		)
		if n.cfg.Hostname != "" {
			mods = append(mods, dhcpv4.WithOption(dhcpv4.OptHostName(n.cfg.Hostname)))
		}
		if n.cfg.MTU != DefaultMTU {
			mtu := binary.BigEndian.AppendUint16(nil, uint16(n.cfg.MTU))
			mods = append(mods, dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, mtu))
		}
	}
	if give {
		mods = append(mods,
			dhcpv4.WithYourIP(n.cfg.Guest.AsSlice()),
			dhcpv4.WithLeaseTime(uint32(leaseTime/time.Second)),
		)
	}
	reply, err := dhcpv4.NewReplyFromRequest(req, mods...)
	if err != nil {
		return nil, false
	}
	// BOOTP's fields stay the server's: what the request held there is hostile and of no use (RFC 2131, table 3).
	reply.GatewayIPAddr, reply.ServerIPAddr = net.IPv4zero, net.IPv4zero
	if kind != dhcpv4.MessageTypeNak {
		n.setBoot(req, reply)
	}
	return reply, true
}

// sendDHCP sends a reply to where the client listens (RFC 2131, section 4.1), without asking by ARP for an address that it
// may not have yet.
func (n *Network) sendDHCP(req, reply *dhcpv4.DHCPv4) {
	dst, mac := netip.AddrFrom4([4]byte{255, 255, 255, 255}), header.EthernetBroadcastAddress
	if reply.MessageType() != dhcpv4.MessageTypeNak && !req.IsBroadcast() {
		to := reply.YourIPAddr
		if to == nil || to.IsUnspecified() {
			to = req.ClientIPAddr
		}
		if a, ok := netip.AddrFromSlice(to.To4()); ok && n.isGuest(a) {
			dst, mac = a, tcpip.LinkAddress(req.ClientHWAddr)
		}
	}
	n.writeTo(mac, encodeUDP(
		netip.AddrPortFrom(n.cfg.Gateway, dhcpServerPort), netip.AddrPortFrom(dst, dhcpClientPort), reply.ToBytes()))
}
