package linktest

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// DHCP gets an address from the link's server as a guest does when it starts, and takes it. It returns the server's
// acknowledgement.
func (g *Guest) DHCP(hostname string) (*dhcpv4.DHCPv4, error) {
	discover, err := dhcpv4.NewDiscovery(MAC, dhcpv4.WithOption(dhcpv4.OptHostName(hostname)))
	if err != nil {
		return nil, err
	}
	offer, err := g.AskDHCP(discover)
	if err != nil {
		return nil, err
	}
	request, err := dhcpv4.NewRequestFromOffer(offer, dhcpv4.WithOption(dhcpv4.OptHostName(hostname)))
	if err != nil {
		return nil, err
	}
	ack, err := g.AskDHCP(request)
	if err != nil {
		return nil, err
	}
	if ack.MessageType() != dhcpv4.MessageTypeAck {
		return nil, fmt.Errorf("DHCP: %v", ack.MessageType())
	}
	own, _ := netip.AddrFromSlice(ack.YourIPAddr.To4())
	bits, _ := ack.SubnetMask().Size()
	router, _ := netip.AddrFromSlice(ack.Router()[0].To4())
	g.SetAddr(netip.PrefixFrom(own, bits), router)
	return ack, nil
}

// AskDHCP sends a DHCP message and waits for the answer to it.
func (g *Guest) AskDHCP(m *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error) {
	answers := make(chan *dhcpv4.DHCPv4, 1)
	g.Watch(func(frame []byte) {
		p := frame[header.EthernetMinimumSize:]
		if header.Ethernet(frame).Type() != header.IPv4ProtocolNumber || len(p) < 28 || p[9] != uint8(header.UDPProtocolNumber) {
			return
		}
		u := header.UDP(p[header.IPv4MinimumSize:])
		if u.DestinationPort() != dhcpv4.ClientPort {
			return
		}
		answer, err := dhcpv4.FromBytes(bytes.Clone(u.Payload()))
		if err != nil {
			g.tb.Errorf("DHCP answer: %v", err)
		} else if answer.TransactionID == m.TransactionID {
			select {
			case answers <- answer:
			default:
			}
		}
	})
	defer g.Watch(nil)
	src := netip.AddrPortFrom(netip.IPv4Unspecified(), dhcpv4.ClientPort)
	dst := netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), dhcpv4.ServerPort)
	if err := g.Send(UDPFrame(net.HardwareAddr(header.EthernetBroadcastAddress), src, dst, m.ToBytes())); err != nil {
		return nil, err
	}
	select {
	case a := <-answers:
		return a, nil
	case <-time.After(5 * time.Second):
		return nil, fmt.Errorf("DHCP: no answer to %v", m.MessageType())
	}
}

// UDPFrame makes an Ethernet frame of the guest's that holds a UDP datagram, without a UDP checksum (RFC 768 allows
// that).
func UDPFrame(mac net.HardwareAddr, src, dst netip.AddrPort, payload []byte) []byte {
	frame := make([]byte, header.EthernetMinimumSize+header.IPv4MinimumSize+header.UDPMinimumSize+len(payload))
	header.Ethernet(frame).Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(MAC), DstAddr: tcpip.LinkAddress(mac), Type: header.IPv4ProtocolNumber,
	})
	ip := header.IPv4(frame[header.EthernetMinimumSize:])
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(ip)), TTL: 64, Protocol: uint8(header.UDPProtocolNumber),
		SrcAddr: tcpip.AddrFrom4(src.Addr().As4()), DstAddr: tcpip.AddrFrom4(dst.Addr().As4()),
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	u := header.UDP(ip[header.IPv4MinimumSize:])
	u.Encode(&header.UDPFields{SrcPort: src.Port(), DstPort: dst.Port(), Length: uint16(len(u))})
	copy(u[header.UDPMinimumSize:], payload)
	return frame
}
