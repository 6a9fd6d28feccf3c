package usernet

import (
	"math/rand/v2"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/sharevm/vmm/network"
)

// maxGone bounds the connections that a guest is told of.
const maxGone = 1024

const (
	// A guest that has just been restored may be slow, and has its card's address changed: what is not answered is asked again, each time after twice as long, up to lastAsk.
	firstAsk = 250 * time.Millisecond
	lastAsk  = 32 * time.Second
)

// gone is the connections of which the guest does not know yet that nobody carries them.
type gone struct {
	mu  sync.Mutex
	all map[network.Connection]struct{} // nil where there are none
}

// Connections implements network.Carrier.
func (n *Network) Connections() (all []network.Connection) {
	n.workMu.Lock()
	var relays []*relay
	for c := range n.closers {
		if r, ok := c.(*relay); ok && len(relays) < maxGone {
			relays = append(relays, r)
		}
	}
	n.workMu.Unlock()
	for _, r := range relays {
		outside, err := r.guest.GetLocalAddress()
		if err != nil {
			continue
		}
		guest, err := r.guest.GetRemoteAddress()
		if err != nil { // it has just ended
			continue
		}
		all = append(all, network.Connection{Guest: fromStack(guest.Addr, guest.Port), Outside: fromStack(outside.Addr, outside.Port)})
	}
	return all
}

// Abandon implements network.Carrier, for a machine that was saved and goes on elsewhere: who waits there for what the other side will say would wait for ever. Each is sent a segment with a random sequence number. The guest answers it with an acknowledgement that tells the right one (RFC 9293, section 3.10.7.4), and
// for that, as for any segment of an unknown connection, it gets a reset. Connections that cannot be the guest's are passed over.
func (n *Network) Abandon(all []network.Connection) {
	n.gone.mu.Lock()
	defer n.gone.mu.Unlock()
	for _, c := range all {
		if !n.isGuest(c.Guest.Addr()) || !c.Outside.Addr().Is4() || c.Outside.Addr().IsMulticast() || len(n.gone.all) == maxGone {
			continue
		}
		if n.gone.all == nil {
			n.gone.all = map[network.Connection]struct{}{}
			n.start(n.askGone)
		}
		n.gone.all[c] = struct{}{}
	}
}

// askGone asks for each connection until the guest has answered.
func (n *Network) askGone() {
	for wait := firstAsk; wait <= lastAsk; wait *= 2 {
		select {
		case <-time.After(wait):
		case <-n.ctx.Done():
			return
		}
		left := n.gone.left()
		for _, c := range left {
			n.ask(c)
		}
		if len(left) == 0 {
			break
		}
	}
	n.gone.mu.Lock()
	defer n.gone.mu.Unlock()
	n.gone.all = nil
}

func (g *gone) left() (all []network.Connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.all {
		all = append(all, c)
	}
	return all
}

// answered is called for each segment of the guest that belongs to no connection, and will be answered with a reset, or begins one.
func (g *gone) answered(id stack.TransportEndpointID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.all, network.Connection{Guest: fromStack(id.RemoteAddress, id.RemotePort), Outside: fromStack(id.LocalAddress, id.LocalPort)})
}

// ask sends the guest a segment that it does not expect. What does not reach it is asked again.
func (n *Network) ask(c network.Connection) {
	r, err := n.stack.FindRoute(nicID, toStack(c.Outside.Addr()), toStack(c.Guest.Addr()), ipv4.ProtocolNumber, false)
	if err != nil {
		return
	}
	defer r.Release()
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: header.TCPMinimumSize + int(r.MaxHeaderLength())})
	defer pkt.DecRef()
	pkt.TransportProtocolNumber = header.TCPProtocolNumber
	segment := header.TCP(pkt.TransportHeader().Push(header.TCPMinimumSize))
	segment.Encode(&header.TCPFields{
		SrcPort: c.Outside.Port(), DstPort: c.Guest.Port(), SeqNum: rand.Uint32(), AckNum: rand.Uint32(), DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagAck,
	})
	segment.SetChecksum(^segment.CalculateChecksum(r.PseudoHeaderChecksum(header.TCPProtocolNumber, uint16(pkt.Size()))))
	_ = r.WritePacket(stack.NetworkHeaderParams{Protocol: header.TCPProtocolNumber, TTL: defaultTTL}, pkt)
}
