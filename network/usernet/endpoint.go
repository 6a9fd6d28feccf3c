package usernet

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// endpoint is netstack's side of the cable: its link layer.
type endpoint struct {
	mtu        uint32
	mac        tcpip.LinkAddress
	queue      *queue
	stats      *counters
	dispatcher atomic.Pointer[stack.NetworkDispatcher]
}

var (
	_ stack.LinkEndpoint       = (*endpoint)(nil)
	_ stack.GSOEndpoint        = (*endpoint)(nil)
	_ stack.QueueingDiscipline = (*endpoint)(nil)
)

// deliver hands an incoming frame to netstack and releases it.
func (e *endpoint) deliver(pkt *stack.PacketBuffer) {
	defer pkt.DecRef()
	d := e.dispatcher.Load()
	if d == nil || !e.ParseHeader(pkt) {
		return
	}
	eth := header.Ethernet(pkt.LinkHeader().Slice())
	switch dst := eth.DestinationAddress(); {
	case dst == header.EthernetBroadcastAddress:
		pkt.PktType = tcpip.PacketBroadcast
	case header.IsMulticastEthernetAddress(dst):
		pkt.PktType = tcpip.PacketMulticast
	case dst == e.mac:
		pkt.PktType = tcpip.PacketHost
	default:
		return // to another station of a cable that has none
	}
	pkt.NetworkProtocolNumber = eth.Type()
	(*d).DeliverNetworkPacket(eth.Type(), pkt)
}

// WritePacket queues a packet for the guest. The endpoint is its interface's queueing discipline as well: netstack's own
// would make a list for each packet.
func (e *endpoint) WritePacket(pkt *stack.PacketBuffer) tcpip.Error {
	if !e.queue.push(pkt, carriesData(pkt)) {
		e.stats.toGuestDropped.Add(1)
		return &tcpip.ErrNoBufferSpace{}
	}
	return nil
}

// WritePackets queues packets for the guest.
func (e *endpoint) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for i, pkt := range pkts.AsSlice() {
		if err := e.WritePacket(pkt); err != nil {
			return i, err
		}
	}
	return pkts.Len(), nil
}

// carriesData says whether whoever sends the packet can wait. TCP segments with a payload and UDP datagrams are always
// sent by goroutines of their own, never from inside WriteFrame.
func carriesData(pkt *stack.PacketBuffer) bool {
	switch pkt.TransportProtocolNumber {
	case header.TCPProtocolNumber:
		return pkt.Data().Size() > 0
	case header.UDPProtocolNumber:
		return true
	}
	return false
}

// Attach takes netstack's way in; nil cuts it.
func (e *endpoint) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		e.dispatcher.Store(nil)
		return
	}
	e.dispatcher.Store(&d)
}

func (e *endpoint) IsAttached() bool                             { return e.dispatcher.Load() != nil }
func (e *endpoint) MTU() uint32                                  { return e.mtu }
func (e *endpoint) SetMTU(uint32)                                {}
func (e *endpoint) MaxHeaderLength() uint16                      { return header.EthernetMinimumSize }
func (e *endpoint) LinkAddress() tcpip.LinkAddress               { return e.mac }
func (e *endpoint) SetLinkAddress(tcpip.LinkAddress)             {}
func (e *endpoint) Wait()                                        {}
func (e *endpoint) Close()                                       {}
func (e *endpoint) SetOnCloseAction(func())                      {}
func (e *endpoint) ARPHardwareType() header.ARPHardwareType      { return header.ARPHardwareEther }
func (e *endpoint) SupportedGSO() stack.SupportedGSO             { return stack.HostGSOSupported }
func (e *endpoint) GSOMaxSize() uint32                           { return 65535 }
func (e *endpoint) Capabilities() stack.LinkEndpointCapabilities { return capabilities }

// WriteFrame has verified every checksum that the guest did not leave open, so that netstack need not.
const capabilities = stack.CapabilityRXChecksumOffload | stack.CapabilityResolutionRequired

// AddHeader puts the Ethernet header in front of a packet.
func (e *endpoint) AddHeader(pkt *stack.PacketBuffer) {
	header.Ethernet(pkt.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{
		SrcAddr: e.mac,
		DstAddr: pkt.EgressRoute.RemoteLinkAddress,
		Type:    pkt.NetworkProtocolNumber,
	})
}

// ParseHeader takes the Ethernet header off.
func (e *endpoint) ParseHeader(pkt *stack.PacketBuffer) bool {
	_, ok := pkt.LinkHeader().Consume(header.EthernetMinimumSize)
	return ok
}
