package linktest

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/sharevm/vmm/network"
)

// card is the guest's network card as its stack sees it.
type card Guest

var (
	_ stack.LinkEndpoint = (*card)(nil)
	_ stack.GSOEndpoint  = (*card)(nil)
)

// WritePackets is the driver's transmitting half.
func (c *card) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	for _, pkt := range pkts.AsSlice() {
		h := network.Header{}
		if gso := pkt.GSOOptions; gso.Type != stack.GSONone && gso.NeedsCsum {
			h.Flags = network.FlagNeedsChecksum
			h.CsumStart = header.EthernetMinimumSize + gso.L3HdrLen
			h.CsumOffset = gso.CsumOffset
			if pkt.Data().Size() > int(gso.MSS) {
				h.GSOType, h.GSOSize, h.HdrLen = network.GSOTCPv4, gso.MSS, uint16(pkt.HeaderSize())
			}
		}
		h.Encode(c.header[:])
		c.bufs = append(c.bufs[:0], c.header[:])
		views, skip := pkt.AsViewList()
		for v := views.Front(); v != nil; v = v.Next() {
			b := v.AsSlice()
			if skip >= len(b) {
				skip -= len(b)
				continue
			}
			c.bufs = append(c.bufs, b[skip:])
			skip = 0
		}
		if err := c.link.WriteFrame(c.bufs); err != nil {
			return 0, &tcpip.ErrClosedForSend{}
		}
	}
	return pkts.Len(), nil
}

// AddHeader puts the Ethernet header in front of a packet.
func (c *card) AddHeader(pkt *stack.PacketBuffer) {
	header.Ethernet(pkt.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(MAC), DstAddr: pkt.EgressRoute.RemoteLinkAddress, Type: pkt.NetworkProtocolNumber,
	})
}

// Attach is called before the guest receives, and when its stack ends.
func (c *card) Attach(d stack.NetworkDispatcher) {
	if d != nil {
		c.dispatcher = d
	}
}

// SupportedGSO has netstack leave segmentation to the link, where both cope.
func (c *card) SupportedGSO() stack.SupportedGSO {
	if c.tso {
		return stack.HostGSOSupported
	}
	return stack.GSONotSupported
}

// Capabilities: the driver has verified what it received.
func (c *card) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload | stack.CapabilityResolutionRequired
}

func (c *card) GSOMaxSize() uint32                      { return 65535 }
func (c *card) IsAttached() bool                        { return c.dispatcher != nil }
func (c *card) MTU() uint32                             { return uint32(c.cfg.MTU) }
func (c *card) SetMTU(uint32)                           {}
func (c *card) MaxHeaderLength() uint16                 { return header.EthernetMinimumSize }
func (c *card) LinkAddress() tcpip.LinkAddress          { return tcpip.LinkAddress(MAC) }
func (c *card) SetLinkAddress(tcpip.LinkAddress)        {}
func (c *card) Wait()                                   {}
func (c *card) Close()                                  {}
func (c *card) SetOnCloseAction(func())                 {}
func (c *card) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
func (c *card) ParseHeader(*stack.PacketBuffer) bool    { return true }
