package usernet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/sharevm/vmm/internal/guard"
)

// The cable's round trip is some tens of microseconds, so that small windows fill it.
const (
	receiveBuffer    = 256 << 10 // bytes at first
	maxReceiveBuffer = 1 << 20
	sendBuffer       = 256 << 10
	maxSendBuffer    = 1 << 20
	maxHandshakes    = 256 // connections of the guest that wait for the outside
)

const (
	dialTimeout  = 30 * time.Second
	guestTimeout = 10 * time.Second // for the guest to take a forwarded connection
	timeWait     = 5 * time.Second
	// A guest that was switched off says no goodbye to its connections.
	keepaliveIdle     = 2 * time.Minute
	keepaliveInterval = 30 * time.Second
	keepaliveCount    = 4
)

// tcpTable counts connections.
type tcpTable struct {
	open atomic.Int32 // both sides connected

	mu    sync.Mutex
	taken int // places, also those of connections that are being made
}

// take takes a place for a connection, unless there are limit taken.
func (t *tcpTable) take(limit int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken >= limit {
		return false
	}
	t.taken++
	return true
}

// leave gives a place back.
func (t *tcpTable) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken--
}

func (n *Network) tuneTCP() error {
	sack := tcpip.TCPSACKEnabled(true)
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	wait := tcpip.TCPTimeWaitTimeoutOption(timeWait)
	for _, o := range []tcpip.SettableTransportProtocolOption{
		&sack, &moderate, &wait,
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: receiveBuffer, Max: maxReceiveBuffer},
		&tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: sendBuffer, Max: maxSendBuffer},
	} {
		if err := n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("setting TCP option %T: %v", o, err)
		}
	}
	return nil
}

// acceptTCP is called, in a goroutine of its own, for each SYN of the guest. The outside is connected first, so that the
// guest sees a refusal as one.
func (n *Network) acceptTCP(req *tcp.ForwarderRequest) {
	defer guard.Panic(n.cfg.Logger, "user network")
	if !n.enter() {
		req.Complete(false)
		return
	}
	defer n.leave()
	id := req.ID()
	dst := fromStack(id.LocalAddress, id.LocalPort)
	if dst == netip.AddrPortFrom(n.cfg.DNS, dnsPort) {
		n.acceptDNS(req)
		return
	}
	to, ok := n.decide(req, dst)
	if !ok {
		return
	}
	if !n.tcp.take(n.cfg.MaxTCP) {
		n.refuse(RefusedLimit, TCP, dst)
		req.Complete(true)
		return
	}
	defer n.tcp.leave()
	host, err := n.dialHost(to)
	if err != nil {
		n.stats.unreachable.Add(1)
		n.cfg.Logger.Debug("user network: connecting for the guest", "to", to, "err", err)
		req.Complete(true)
		return
	}
	var wq waiter.Queue
	guest, terr := req.CreateEndpoint(&wq)
	req.Complete(terr != nil)
	if terr != nil {
		host.Close()
		return
	}
	n.relay(guest, &wq, host)
}

// decide is egress, and tells the guest of a refusal. A policy that panics refuses.
func (n *Network) decide(req *tcp.ForwarderRequest, dst netip.AddrPort) (to netip.AddrPort, ok bool) {
	defer func() {
		if !ok {
			req.Complete(true)
		}
	}()
	return n.egress(TCP, dst)
}

func (n *Network) dialHost(to netip.AddrPort) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(n.ctx, dialTimeout)
	defer cancel()
	var d net.Dialer
	return d.DialTCP(ctx, "tcp4", netip.AddrPort{}, to)
}

// dialGuest connects to the guest from the gateway's address.
func (n *Network) dialGuest(to netip.AddrPort, wq *waiter.Queue) (tcpip.Endpoint, error) {
	ep, terr := n.stack.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, wq)
	if terr != nil {
		return nil, stackError{terr}
	}
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventErr | waiter.EventHUp)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)
	terr = ep.Bind(tcpip.FullAddress{NIC: nicID, Addr: toStack(n.cfg.Gateway)})
	if terr == nil {
		terr = ep.Connect(tcpip.FullAddress{NIC: nicID, Addr: toStack(to.Addr()), Port: to.Port()})
	}
	if _, started := terr.(*tcpip.ErrConnectStarted); started {
		timeout := time.NewTimer(guestTimeout)
		defer timeout.Stop()
		select {
		case <-ready:
			terr = ep.LastError()
		case <-timeout.C:
			terr = &tcpip.ErrTimeout{}
		case <-n.ctx.Done():
			terr = &tcpip.ErrAborted{}
		}
	}
	if terr != nil {
		ep.Abort()
		return nil, stackError{terr}
	}
	return ep, nil
}

// configureGuest sets what every connection with the guest has.
func configureGuest(ep tcpip.Endpoint) {
	idle, interval := tcpip.KeepaliveIdleOption(keepaliveIdle), tcpip.KeepaliveIntervalOption(keepaliveInterval)
	ep.SetSockOpt(&idle)
	ep.SetSockOpt(&interval)
	ep.SetSockOptInt(tcpip.KeepaliveCountOption, keepaliveCount)
	ep.SocketOptions().SetKeepAlive(true)
	ep.SocketOptions().SetDelayOption(false)
}

// stackError makes an error of netstack's one of Go's.
type stackError struct{ err tcpip.Error }

func (e stackError) Error() string { return e.err.String() }
