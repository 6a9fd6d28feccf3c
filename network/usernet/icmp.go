package usernet

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
)

const (
	maxPings = 32 // flows of echoes at once
	pingIdle = 10 * time.Second
)

// pingKey names a flow of echoes: who asks whom, under which identifier.
type pingKey struct {
	guest, dst netip.Addr
	ident      uint16
}

type pingTable struct {
	mu    sync.Mutex
	flows map[pingKey]*pingFlow
}

// pingFlow is one of the guest's flows of echoes to the outside, on an unprivileged ICMP socket (icmp(7)), which the host
// allows to the groups in net.ipv4.ping_group_range. The kernel puts an identifier of its own into what it sends.
type pingFlow struct {
	n    *Network
	key  pingKey
	conn net.Conn
	used atomic.Int64
}

// handlePing takes each ICMP message of the guest that netstack has no use for; it runs in the card's worker. False has
// netstack answer an echo by itself, which it does for the gateway and the DNS server only.
func (n *Network) handlePing(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	src, dst := fromStack(id.RemoteAddress, 0), fromStack(id.LocalAddress, 0)
	if dst.Addr() == n.cfg.Gateway || dst.Addr() == n.cfg.DNS {
		return false
	}
	h := header.ICMPv4(pkt.TransportHeader().Slice())
	if len(h) < header.ICMPv4MinimumSize || h.Type() != header.ICMPv4Echo || !n.isGuest(src.Addr()) {
		return true
	}
	flow := n.pingFlow(pingKey{guest: src.Addr(), dst: dst.Addr(), ident: h.Ident()})
	if flow == nil {
		return true
	}
	flow.used.Store(time.Now().UnixNano())
	body := pkt.Data().AsRange().ToSlice()
	flow.conn.Write(append(append(make([]byte, 0, len(h)+len(body)), h...), body...)) // an error is a lost echo
	return true
}

// pingFlow finds or makes a flow. It returns nil when the flow may not be, or cannot.
func (n *Network) pingFlow(key pingKey) *pingFlow {
	n.ping.mu.Lock()
	flow, full := n.ping.flows[key], len(n.ping.flows) >= maxPings
	n.ping.mu.Unlock()
	if flow != nil {
		return flow
	}
	to, ok := n.egress(ICMP, netip.AddrPortFrom(key.dst, 0))
	if !ok {
		return nil
	}
	if full {
		n.refuse(RefusedLimit, ICMP, netip.AddrPortFrom(key.dst, 0))
		return nil
	}
	conn, err := dialPing(to.Addr())
	if err != nil {
		n.stats.unreachable.Add(1)
		n.cfg.Logger.Debug("user network: no ICMP socket for the guest", "to", to.Addr(), "err", err)
		return nil
	}
	flow = &pingFlow{n: n, key: key, conn: conn}
	flow.used.Store(time.Now().UnixNano())
	if !n.track(conn) {
		conn.Close()
		return nil
	}
	n.ping.mu.Lock()
	n.ping.flows[key] = flow
	n.ping.mu.Unlock()
	if !n.start(flow.receive) {
		flow.close()
		return nil
	}
	return flow
}

// dialPing opens an unprivileged ICMP socket to an address.
func dialPing(to netip.Addr) (net.Conn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "ping")
	defer f.Close()
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.As4()}); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	return net.FileConn(f)
}

// receive carries the answers to the guest until the flow has been idle for long or is closed.
func (f *pingFlow) receive() {
	defer f.close()
	buf := make([]byte, maxPayload)
	for {
		f.conn.SetReadDeadline(time.Unix(0, f.used.Load()).Add(pingIdle))
		size, err := f.conn.Read(buf)
		switch {
		case err == nil:
			f.answer(buf[:size])
		case !isTimeout(err) || time.Since(time.Unix(0, f.used.Load())) >= pingIdle:
			return
		}
	}
}

// answer sends an echo reply to the guest, under the guest's own identifier.
func (f *pingFlow) answer(message []byte) {
	h := header.ICMPv4(message)
	if len(h) < header.ICMPv4MinimumSize || h.Type() != header.ICMPv4EchoReply {
		return
	}
	h.SetIdent(f.key.ident)
	h.SetChecksum(0)
	binary.BigEndian.PutUint16(h[2:], ^checksum.Checksum(h, 0))
	route, err := f.n.stack.FindRoute(nicID, toStack(f.key.dst), toStack(f.key.guest), ipv4.ProtocolNumber, false)
	if err != nil {
		return
	}
	defer route.Release()
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: int(route.MaxHeaderLength()) + header.ICMPv4MinimumSize,
		Payload:            buffer.MakeWithData(h[header.ICMPv4MinimumSize:]),
	})
	defer pkt.DecRef()
	copy(pkt.TransportHeader().Push(header.ICMPv4MinimumSize), h)
	pkt.TransportProtocolNumber = icmp.ProtocolNumber4
	route.WritePacket(stack.NetworkHeaderParams{Protocol: icmp.ProtocolNumber4, TTL: defaultTTL}, pkt)
}

func (f *pingFlow) close() {
	f.conn.Close()
	f.n.untrack(f.conn)
	f.n.ping.mu.Lock()
	defer f.n.ping.mu.Unlock()
	delete(f.n.ping.flows, f.key)
}
