package usernet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/waiter"
)

// Forward publishes a port of the guest's on the host.
type Forward struct {
	Protocol Protocol       // TCP or UDP
	Host     netip.AddrPort // where the host listens; port 0 takes a free one
	Guest    uint16         // port
}

func (f Forward) String() string { return fmt.Sprintf("%v:%v:%d", f.Protocol, f.Host, f.Guest) }

// Publish opens a port on the host for as long as the network lives, and returns where it listens.
func (n *Network) Publish(f Forward) (netip.AddrPort, error) {
	var at netip.AddrPort
	var err error
	switch {
	case f.Guest == 0 || !f.Host.Addr().IsValid():
		err = errors.New("no address or no guest port")
	case f.Protocol == TCP:
		at, err = n.publishTCP(f)
	case f.Protocol == UDP:
		at, err = n.publishUDP(f)
	default:
		err = fmt.Errorf("protocol %v", f.Protocol)
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("publishing port %d of the guest at %v %v: %w", f.Guest, f.Protocol, f.Host, err)
	}
	return at, nil
}

func (n *Network) publishTCP(f Forward) (netip.AddrPort, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // the relays ask sockets things that multipath ones do not know
	l, err := lc.Listen(n.ctx, "tcp", f.Host.String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	listener := l.(*net.TCPListener)
	if !n.track(listener) || !n.start(func() { n.acceptForwards(listener, f) }) {
		listener.Close()
		return netip.AddrPort{}, net.ErrClosed
	}
	return listener.Addr().(*net.TCPAddr).AddrPort(), nil
}

func (n *Network) acceptForwards(l *net.TCPListener, f Forward) {
	defer n.untrack(l)
	defer l.Close()
	to := netip.AddrPortFrom(n.cfg.Guest, f.Guest)
	for {
		conn, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, or a client that is gone already
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-n.ctx.Done():
				return
			}
		}
		if !n.tcp.take(n.cfg.MaxTCP) {
			n.refuse(RefusedLimit, TCP, to)
			conn.Close()
			continue
		}
		if !n.start(func() {
			defer n.tcp.leave()
			n.connectForward(conn, to)
		}) {
			n.tcp.leave()
			conn.Close()
		}
	}
}

func (n *Network) connectForward(conn *net.TCPConn, to netip.AddrPort) {
	var wq waiter.Queue
	guest, err := n.dialGuest(to, &wq)
	if err != nil {
		n.stats.unreachable.Add(1)
		n.cfg.Logger.Debug("user network: connecting to the guest", "to", to, "err", err)
		conn.SetLinger(0)
		conn.Close()
		return
	}
	n.relay(guest, &wq, conn)
}

// The guest sees each client of a forwarded UDP port as a port of the gateway's, from this range (RFC 6335's dynamic one).
const (
	firstForwardPort = 49152
	forwardPorts     = 65536 - firstForwardPort
)

// forwardTable is the clients of forwarded UDP ports, guarded by udpTable.mu.
type forwardTable struct {
	byPort   map[uint16]*udpClient
	byClient map[udpClientKey]*udpClient
	last     uint16
}

type udpClientKey struct {
	listener *net.UDPConn
	client   netip.AddrPort
}

// udpClient is one client of a forwarded UDP port.
type udpClient struct {
	key   udpClientKey
	port  uint16 // of the gateway
	guest netip.AddrPort
	used  atomic.Int64
}

func (n *Network) publishUDP(f Forward) (netip.AddrPort, error) {
	var lc net.ListenConfig
	l, err := lc.ListenPacket(context.Background(), "udp", f.Host.String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	conn := l.(*net.UDPConn)
	if !n.track(conn) || !n.start(func() { n.receiveForwards(conn, netip.AddrPortFrom(n.cfg.Guest, f.Guest)) }) {
		conn.Close()
		return netip.AddrPort{}, net.ErrClosed
	}
	return conn.LocalAddr().(*net.UDPAddr).AddrPort(), nil
}

// receiveForwards carries what clients send to the guest.
func (n *Network) receiveForwards(conn *net.UDPConn, guest netip.AddrPort) {
	defer n.untrack(conn)
	defer conn.Close()
	buf := make([]byte, maxPayload)
	sender := udpSender{n: n, to: guest}
	defer sender.close()
	for {
		size, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error from a client that is gone
		}
		client := n.udp.client(udpClientKey{conn, from}, guest, n.cfg.MaxUDP)
		client.used.Store(time.Now().UnixNano())
		sender.send(netip.AddrPortFrom(n.cfg.Gateway, client.port), buf[:size])
	}
}

// client finds or adds a client, at the cost of the one longest unused when there are limit or more.
func (t *udpTable) client(key udpClientKey, guest netip.AddrPort, limit int) *udpClient {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &t.forwards
	if c := f.byClient[key]; c != nil {
		return c
	}
	if f.byPort == nil {
		f.byPort, f.byClient = make(map[uint16]*udpClient), make(map[udpClientKey]*udpClient)
	}
	for len(f.byPort) >= min(limit, forwardPorts) {
		var oldest *udpClient
		for _, c := range f.byPort {
			if oldest == nil || c.used.Load() < oldest.used.Load() {
				oldest = c
			}
		}
		delete(f.byPort, oldest.port)
		delete(f.byClient, oldest.key)
	}
	for {
		f.last = (f.last + 1) % forwardPorts
		if f.byPort[firstForwardPort+f.last] == nil {
			break
		}
	}
	c := &udpClient{key: key, port: firstForwardPort + f.last, guest: guest}
	f.byPort[c.port], f.byClient[key] = c, c
	return c
}

// answerForward carries what the guest sends to a client of a forwarded port. It returns false when port is no such one.
func (n *Network) answerForward(src netip.AddrPort, port uint16, payload []byte) bool {
	n.udp.mu.Lock()
	c := n.udp.forwards.byPort[port]
	n.udp.mu.Unlock()
	if c == nil || c.guest != src {
		return false
	}
	c.used.Store(time.Now().UnixNano())
	c.key.listener.WriteToUDPAddrPort(payload, c.key.client) // an error is a lost datagram
	return true
}
