package usernet

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const (
	maxRemotes = 256   // remote addresses that one flow remembers
	maxPayload = 65507 // of a UDP datagram over IPv4
	defaultTTL = 64
)

// udpTable is the set of UDP flows, by the guest's address and port.
type udpTable struct {
	mu       sync.Mutex
	flows    map[netip.AddrPort]*udpFlow
	forwards forwardTable
}

func (t *udpTable) open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.flows) + len(t.forwards.byPort)
}

// udpFlow is a UDP port of the guest's and the host's socket that stands for it. One socket serves every remote
// (endpoint-independent mapping, RFC 4787, section 4.1), and only remotes that the guest has written to may answer (section
// 5, address- and port-dependent filtering): what peer-to-peer protocols cope with, and what lets nobody else in.
type udpFlow struct {
	n     *Network
	guest netip.AddrPort
	conn  *net.UDPConn
	used  atomic.Int64 // when it last carried something, in nanoseconds since the Unix epoch

	mu      sync.Mutex
	byGuest map[netip.AddrPort]netip.AddrPort // remotes as the guest names them, to their address on the host's side
	byHost  map[netip.AddrPort]netip.AddrPort // the same the other way
}

var datagramPool = sync.Pool{New: func() any { return new([maxPayload]byte) }}

// handleUDP takes each datagram of the guest. It runs in the card's worker. False has netstack answer that the port is
// unreachable.
func (n *Network) handleUDP(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	src, dst := fromStack(id.RemoteAddress, id.RemotePort), fromStack(id.LocalAddress, id.LocalPort)
	payload, ok := pkt.Data().PullUp(pkt.Data().Size())
	if !ok {
		return true
	}
	switch {
	case dst.Port() == dhcpServerPort && src.Port() == dhcpClientPort:
		n.handleDHCP(payload)
		return true
	case !n.isGuest(src.Addr()):
		return true
	case dst == netip.AddrPortFrom(n.cfg.DNS, dnsPort):
		n.handleDNS(src, payload)
		return true
	case dst.Addr() == n.cfg.Gateway && n.handleTFTP(src, dst.Port(), payload):
		return true
	case dst.Addr() == n.cfg.Gateway && n.answerForward(src, dst.Port(), payload):
		return true
	}
	return n.sendUDPOut(src, dst, payload)
}

// sendUDPOut carries a datagram of the guest to the outside.
func (n *Network) sendUDPOut(src, dst netip.AddrPort, payload []byte) bool {
	flow := n.udp.find(src)
	var to netip.AddrPort
	known := false
	if flow != nil {
		to, known = flow.remote(dst)
	}
	if !known {
		if to, known = n.egress(UDP, dst); !known {
			return false
		}
		if flow == nil {
			if flow = n.openUDP(src); flow == nil {
				return true
			}
		}
		flow.learn(dst, to)
	}
	flow.used.Store(time.Now().UnixNano())
	flow.conn.WriteToUDPAddrPort(payload, to) // an error is a lost datagram
	return true
}

func (t *udpTable) find(guest netip.AddrPort) *udpFlow {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flows[guest]
}

// openUDP makes a flow for a port of the guest's, at the cost of the one longest unused when there are too many. Only
// the card's worker calls it, so that no port gets two.
func (n *Network) openUDP(guest netip.AddrPort) *udpFlow {
	n.udp.makeRoom(n.cfg.MaxUDP)
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		n.stats.unreachable.Add(1)
		return nil
	}
	f := &udpFlow{
		n: n, guest: guest, conn: conn,
		byGuest: make(map[netip.AddrPort]netip.AddrPort), byHost: make(map[netip.AddrPort]netip.AddrPort),
	}
	f.used.Store(time.Now().UnixNano())
	if !n.track(conn) {
		conn.Close()
		return nil
	}
	n.udp.mu.Lock()
	n.udp.flows[guest] = f
	n.udp.mu.Unlock()
	if !n.start(f.receive) {
		f.close()
		return nil
	}
	n.stats.udpTotal.Add(1)
	return f
}

// makeRoom ends the flow longest unused while there are limit or more.
func (t *udpTable) makeRoom(limit int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.flows) >= limit {
		var oldest *udpFlow
		for _, f := range t.flows {
			if oldest == nil || f.used.Load() < oldest.used.Load() {
				oldest = f
			}
		}
		delete(t.flows, oldest.guest)
		oldest.conn.Close() // its goroutine ends, and finds itself removed
	}
}

func (f *udpFlow) remote(dst netip.AddrPort) (netip.AddrPort, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	to, ok := f.byGuest[dst]
	return to, ok
}

func (f *udpFlow) guestView(from netip.AddrPort) (netip.AddrPort, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dst, ok := f.byHost[from]
	return dst, ok
}

// learn remembers a remote, in the place of any other when there are too many.
func (f *udpFlow) learn(dst, to netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for old, oldTo := range f.byGuest {
		if len(f.byGuest) < maxRemotes {
			break
		}
		delete(f.byGuest, old)
		delete(f.byHost, oldTo)
	}
	f.byGuest[dst], f.byHost[to] = to, dst
}

// receive carries answers to the guest until the flow has been idle for long or is closed.
func (f *udpFlow) receive() {
	defer f.close()
	idle := f.n.cfg.UDPIdle
	sender := udpSender{n: f.n, to: f.guest}
	defer sender.close()
	for {
		f.conn.SetReadDeadline(time.Unix(0, f.used.Load()).Add(idle))
		buf := datagramPool.Get().(*[maxPayload]byte)
		size, from, err := f.conn.ReadFromUDPAddrPort(buf[:])
		if err == nil {
			if src, ok := f.guestView(netip.AddrPortFrom(from.Addr().Unmap(), from.Port())); ok {
				f.used.Store(time.Now().UnixNano())
				sender.send(src, buf[:size])
			}
		}
		datagramPool.Put(buf)
		if err != nil && (!isTimeout(err) || time.Since(time.Unix(0, f.used.Load())) >= idle) {
			return
		}
	}
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}

func (f *udpFlow) close() {
	f.conn.Close()
	f.n.untrack(f.conn)
	f.n.udp.mu.Lock()
	defer f.n.udp.mu.Unlock()
	if f.n.udp.flows[f.guest] == f {
		delete(f.n.udp.flows, f.guest)
	}
}

// udpSender sends datagrams to one port of the guest's. It keeps the route of the last one, which the next mostly takes.
type udpSender struct {
	n     *Network
	to    netip.AddrPort
	from  netip.Addr
	route *stack.Route
}

// send sends a datagram that seems to come from src. Datagrams longer than the MTU leave in fragments. It waits while the
// guest's queue is long.
func (s *udpSender) send(src netip.AddrPort, payload []byte) {
	if s.route == nil || s.from != src.Addr() {
		s.close()
		route, err := s.n.stack.FindRoute(nicID, toStack(src.Addr()), toStack(s.to.Addr()), ipv4.ProtocolNumber, false)
		if err != nil {
			return
		}
		s.route, s.from = route, src.Addr()
	}
	view := buffer.NewView(len(payload))
	view.Write(payload)
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: int(s.route.MaxHeaderLength()) + header.UDPMinimumSize,
		Payload:            buffer.MakeWithView(view),
	})
	defer pkt.DecRef()
	h := header.UDP(pkt.TransportHeader().Push(header.UDPMinimumSize))
	size := uint16(len(h) + len(payload))
	h.Encode(&header.UDPFields{SrcPort: src.Port(), DstPort: s.to.Port(), Length: size})
	sum := s.route.PseudoHeaderChecksum(udp.ProtocolNumber, size)
	sum = ^h.CalculateChecksum(checksum.Checksum(payload, sum))
	if sum == 0 {
		sum = 0xffff // zero would say that there is none (RFC 768)
	}
	h.SetChecksum(sum)
	pkt.TransportProtocolNumber = udp.ProtocolNumber
	s.route.WritePacket(stack.NetworkHeaderParams{Protocol: udp.ProtocolNumber, TTL: defaultTTL}, pkt)
}

func (s *udpSender) close() {
	if s.route != nil {
		s.route.Release()
		s.route = nil
	}
}

// writeTo sends a whole IPv4 packet to a station of the cable whose IP address may not be known yet.
func (n *Network) writeTo(mac tcpip.LinkAddress, packet []byte) {
	n.stack.WritePacketToRemote(nicID, mac, ipv4.ProtocolNumber, buffer.MakeWithData(packet))
}

// encodeUDP makes an IPv4 packet that holds one UDP datagram.
func encodeUDP(src, dst netip.AddrPort, payload []byte) []byte {
	b := make([]byte, header.IPv4MinimumSize+header.UDPMinimumSize+len(payload))
	ip := header.IPv4(b)
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(b)),
		TTL:         defaultTTL,
		Protocol:    uint8(udp.ProtocolNumber),
		SrcAddr:     toStack(src.Addr()),
		DstAddr:     toStack(dst.Addr()),
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	datagram := b[header.IPv4MinimumSize:]
	copy(datagram[header.UDPMinimumSize:], payload)
	h := header.UDP(datagram)
	h.Encode(&header.UDPFields{SrcPort: src.Port(), DstPort: dst.Port(), Length: uint16(len(datagram))})
	sum := header.PseudoHeaderChecksum(udp.ProtocolNumber, toStack(src.Addr()), toStack(dst.Addr()), uint16(len(datagram)))
	sum = ^checksum.Checksum(datagram, sum)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(datagram[6:], sum)
	return b
}
