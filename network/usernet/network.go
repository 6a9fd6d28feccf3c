package usernet

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/sharevm/vmm/internal/guard"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/tftp"
)

// nicID is the stack's only interface.
const nicID = tcpip.NICID(1)

// offloads are what WriteFrame copes with.
const offloads = network.OffloadChecksum | network.OffloadTSO4 | network.OffloadECN

// Network is a user-mode network and the link to its one guest.
type Network struct {
	cfg      Config
	stack    *stack.Stack
	endpoint *endpoint
	queue    *queue
	stats    counters
	refusals refusals
	budget   budget
	guest    atomic.Uint32 // network.Offloads that the guest has taken

	tcp  tcpTable
	udp  udpTable
	ping pingTable
	dns  resolver
	tftp tftpTable

	dnsPending dnsPending
	gone       gone

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	work   sync.WaitGroup // goroutines between enter and leave

	workMu  sync.Mutex
	closing bool
	closers map[io.Closer]struct{} // what Close has to close so that the goroutines end; see track

	writeMu sync.RWMutex // held for reading while a frame of the guest is worked on
	closed  bool

	readMu  sync.Mutex
	emitter emitter
}

var _ interface {
	network.Link
	network.Carrier
} = (*Network)(nil)

// New builds a network and publishes cfg.Forwards. It errs when the configuration makes no sense or a forward's port
// cannot be had.
func New(cfg Config) (*Network, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Network{cfg: cfg, queue: newQueue(), closers: make(map[io.Closer]struct{})}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.udp.flows = make(map[netip.AddrPort]*udpFlow)
	n.ping.flows = make(map[pingKey]*pingFlow)
	n.dns.init(cfg.Resolvers, cfg.OpenResolvConf)
	n.budget.whole = cfg.MaxBuffered
	if cfg.Boot.Folder != "" {
		if n.tftp.folder, err = tftp.OpenFolder(cfg.Boot.Folder); err != nil {
			n.Close()
			return nil, fmt.Errorf("user network: %w", err)
		}
		n.tftp.transfers = make(map[netip.AddrPort]*transfer)
	}
	if err := n.buildStack(); err != nil {
		n.Close()
		return nil, fmt.Errorf("user network: %w", err)
	}
	for _, f := range cfg.Forwards {
		if _, err := n.Publish(f); err != nil {
			n.Close()
			return nil, err
		}
	}
	return n, nil
}

func (n *Network) buildStack() error {
	n.endpoint = &endpoint{
		mtu:   uint32(n.cfg.MTU),
		mac:   tcpip.LinkAddress(n.cfg.MAC),
		queue: n.queue,
		stats: &n.stats,
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	n.stack = s
	if err := n.tuneTCP(); err != nil {
		return err
	}
	begin := tcp.NewForwarder(s, receiveBuffer, maxHandshakes, n.acceptTCP)
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		n.gone.answered(id)
		return begin.HandlePacket(id, pkt)
	})
	s.SetTransportProtocolHandler(udp.ProtocolNumber, n.handleUDP)
	s.SetTransportProtocolHandler(icmp.ProtocolNumber4, n.handlePing)
	if err := s.CreateNICWithOptions(nicID, n.endpoint, stack.NICOptions{QDisc: n.endpoint}); err != nil {
		return fmt.Errorf("creating the interface: %v", err)
	}
	for _, a := range []netip.Addr{n.cfg.Gateway, n.cfg.DNS} {
		err := s.AddProtocolAddress(nicID, tcpip.ProtocolAddress{
			Protocol:          ipv4.ProtocolNumber,
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: toStack(a), PrefixLen: n.cfg.Subnet.Bits()},
		}, stack.AddressProperties{})
		if err != nil {
			return fmt.Errorf("adding address %v: %v", a, err)
		}
	}
	// NAT: take packets for every address, and answer from every address.
	if err := s.SetPromiscuousMode(nicID, true); err != nil {
		return fmt.Errorf("taking every packet: %v", err)
	}
	if err := s.SetSpoofing(nicID, true); err != nil {
		return fmt.Errorf("answering for every address: %v", err)
	}
	subnet := tcpip.AddressWithPrefix{Address: toStack(n.cfg.Subnet.Addr()), PrefixLen: n.cfg.Subnet.Bits()}.Subnet()
	s.SetRouteTable([]tcpip.Route{{Destination: subnet, NIC: nicID}})
	return nil
}

// WriteFrame takes one frame of the guest; see network.Link. It may wait while the host's UDP sockets are full.
func (n *Network) WriteFrame(bufs [][]byte) error {
	n.writeMu.RLock()
	defer n.writeMu.RUnlock()
	if n.closed {
		return nil
	}
	pkt := n.decode(bufs)
	if pkt == nil {
		n.stats.fromGuestMalformed.Add(1)
		return nil
	}
	n.stats.fromGuestFrames.Add(1)
	n.stats.fromGuestBytes.Add(uint64(pkt.Size()))
	n.endpoint.deliver(pkt)
	return nil
}

// decode copies a frame out of the guest's memory, once, and judges the copy. It returns nil for a frame to drop.
func (n *Network) decode(bufs [][]byte) *stack.PacketBuffer {
	var raw [network.HeaderLen]byte
	if !network.CopyHeader(&raw, bufs) {
		return nil
	}
	size := network.Len(bufs) - network.HeaderLen
	h := network.DecodeHeader(raw[:])
	if h.Check(size, offloads) != nil {
		return nil
	}
	if h.GSOType == network.GSONone && size > header.EthernetMinimumSize+n.cfg.MTU {
		return nil
	}
	// The buffer pool ends at 64 KiB, and the largest segment with its Ethernet header is a little longer.
	first := buffer.NewView(min(size, buffer.MaxChunkSize))
	var rest *buffer.View
	if size > buffer.MaxChunkSize {
		rest = buffer.NewView(size - buffer.MaxChunkSize)
	}
	skip := network.HeaderLen
	for _, b := range bufs {
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		b = b[skip:]
		skip = 0
		c := min(len(b), first.AvailableSize(), buffer.MaxChunkSize-first.Size())
		first.Write(b[:c])
		if c < len(b) && rest != nil {
			rest.Write(b[c:])
		}
	}
	frame := first.AsSlice()
	plausible := n.plausible(frame)
	summed := h.Flags&network.FlagNeedsChecksum != 0 || !plausible || network.ValidChecksums(frame)
	if !summed {
		n.stats.fromGuestChecksum.Add(1)
	}
	if !plausible || !summed {
		first.Release()
		if rest != nil {
			rest.Release()
		}
		return nil
	}
	payload := buffer.MakeWithView(first)
	if rest != nil {
		payload.Append(rest)
	}
	return stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: payload})
}

// plausible says whether a frame is one that netstack should see: IPv4 from one of the guest's own addresses, or ARP
// that is about the gateway. Netstack, which stands for the whole outside, would answer ARP for any address, and so take
// the guest's own away from it.
func (n *Network) plausible(frame []byte) bool {
	p := frame[header.EthernetMinimumSize:]
	switch tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(frame[12:])) {
	case header.ARPProtocolNumber:
		a := header.ARP(p)
		if len(p) < header.ARPSize || !a.IsValid() {
			return false
		}
		target, _ := netip.AddrFromSlice(a.ProtocolAddressTarget())
		sender, _ := netip.AddrFromSlice(a.ProtocolAddressSender())
		return (target == n.cfg.Gateway || target == n.cfg.DNS) && (n.isGuest(sender) || sender.IsUnspecified())
	case header.IPv4ProtocolNumber:
		if len(p) < header.IPv4MinimumSize {
			return false
		}
		src := netip.AddrFrom4([4]byte(p[12:16]))
		return n.isGuest(src) || src.IsUnspecified() && p[9] == uint8(header.UDPProtocolNumber)
	}
	return false
}

// isGuest says whether an address may be the guest's: it, or something behind it, may choose any free one.
func (n *Network) isGuest(a netip.Addr) bool {
	return n.cfg.Subnet.Contains(a) && a != n.cfg.Gateway && a != n.cfg.DNS
}

// ReadFrame waits for the next frame for the guest; see network.Link.
func (n *Network) ReadFrame(bufs [][]byte) (int, error) {
	n.readMu.Lock()
	defer n.readMu.Unlock()
	room := network.Len(bufs)
	for {
		if n.emitter.pkt == nil {
			pkt, err := n.queue.pop()
			if err != nil {
				return 0, err
			}
			guest := network.Offloads(n.guest.Load())
			if fits(pkt, guest, room) {
				size := whole(pkt, guest, bufs)
				pkt.DecRef()
				n.countToGuest(size)
				return size, nil
			}
			if !n.emitter.cut(pkt) {
				n.stats.toGuestDropped.Add(1)
				continue
			}
		}
		if size := n.emitter.next(bufs, room); size > 0 {
			n.countToGuest(size)
			return size, nil
		}
		n.stats.toGuestDropped.Add(1)
	}
}

func (n *Network) countToGuest(size int) {
	n.stats.toGuestFrames.Add(1)
	n.stats.toGuestBytes.Add(uint64(size - network.HeaderLen))
}

// SetReadDeadline bounds ReadFrame; see network.Link.
func (n *Network) SetReadDeadline(t time.Time) error { return n.queue.setDeadline(t) }

// Offloads are what WriteFrame copes with; see network.Link.
func (n *Network) Offloads() network.Offloads { return offloads }

// SetGuestOffloads says what the guest copes with; see network.Link. It holds from the next packet on, for open
// connections as well.
func (n *Network) SetGuestOffloads(o network.Offloads) error {
	n.guest.Store(uint32(o))
	return nil
}

// Close ends every flow, with a reset where the other side is the host, and waits for all that runs. The ports of
// forwards are free when it returns.
func (n *Network) Close() error {
	n.workMu.Lock()
	if n.closing {
		n.workMu.Unlock()
		n.work.Wait()
		return nil
	}
	n.closing = true
	closers := n.closers
	n.closers = nil
	n.workMu.Unlock()

	n.queue.close() // first, so that nothing waits for the guest any more
	n.writeMu.Lock()
	n.closed = true
	n.writeMu.Unlock()
	n.cancel()
	for c := range closers {
		c.Close()
	}
	n.abortHandshakes()
	if n.stack != nil {
		n.stack.Close()
		n.stack.Wait()
	}
	n.readMu.Lock()
	n.emitter.release()
	n.readMu.Unlock()
	if n.tftp.folder != nil {
		return n.tftp.folder.Close()
	}
	return nil
}

// abortHandshakes waits for all work to end. A handshake with the guest may begin after a look at the list of
// connections, and would then wait for a guest that hears nothing any more: so it looks again until there is no work.
func (n *Network) abortHandshakes() {
	ended := make(chan struct{})
	go func() {
		n.work.Wait()
		close(ended)
	}()
	for {
		if n.stack != nil {
			for _, e := range n.stack.RegisteredEndpoints() {
				e.Abort()
			}
		}
		select {
		case <-ended:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// enter counts the calling goroutine among those that Close waits for; leave ends that. It returns false, and counts
// nothing, when the network is closing.
func (n *Network) enter() bool {
	n.workMu.Lock()
	defer n.workMu.Unlock()
	if n.closing {
		return false
	}
	n.work.Add(1)
	return true
}

func (n *Network) leave() { n.work.Done() }

// start runs f in a goroutine that Close waits for. It returns false when the network is closing.
func (n *Network) start(f func()) bool {
	if !n.enter() {
		return false
	}
	go func() {
		defer guard.Panic(n.cfg.Logger, "user network")
		defer n.leave()
		f()
	}()
	return true
}

// track has Close close c as well, until untrack. It returns false when the network is closing; c is then the caller's to
// close.
func (n *Network) track(c io.Closer) bool {
	n.workMu.Lock()
	defer n.workMu.Unlock()
	if n.closing {
		return false
	}
	n.closers[c] = struct{}{}
	return true
}

func (n *Network) untrack(c io.Closer) {
	n.workMu.Lock()
	defer n.workMu.Unlock()
	delete(n.closers, c)
}

func toStack(a netip.Addr) tcpip.Address { return tcpip.AddrFrom4(a.As4()) }

func fromStack(a tcpip.Address, port uint16) netip.AddrPort {
	if a.Len() != header.IPv4AddressSize {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom4(a.As4()), port)
}
