package linktest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/sharevm/vmm/network"
)

const nicID = tcpip.NICID(1)

// MAC is the address of every Guest's card.
var MAC = net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}

// GuestConfig says what a Guest's card and driver can do.
type GuestConfig struct {
	Offloads network.Offloads // taken for reception, and used for transmission where the link copes
	MTU      int              // default 1500
	Trust    bool             // skip the verification of what is received, for benchmarks
}

// Guest is a machine at the card's end of a link: a driver that checks every frame against what was agreed on, and a TCP/IP
// stack. It fails its test when a frame breaks the contract.
type Guest struct {
	Stack *stack.Stack
	Addr  netip.Addr

	tb   testing.TB
	link network.Link
	cfg  GuestConfig
	take atomic.Uint32 // network.Offloads taken for reception
	tso  bool

	writeMu sync.Mutex
	header  [network.HeaderLen]byte
	bufs    [][]byte

	dispatcher stack.NetworkDispatcher
	stopped    chan struct{}
	readErr    error // why the receiving goroutine ended; valid when stopped is closed

	hookMu sync.Mutex
	hook   func(frame []byte)
}

// NewGuest plugs a guest into a link. It is unplugged, and the link closed, when the test ends.
func NewGuest(tb testing.TB, link network.Link, cfg GuestConfig) *Guest {
	tb.Helper()
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	g := &Guest{tb: tb, link: link, cfg: cfg, stopped: make(chan struct{})}
	g.tso = cfg.Offloads&link.Offloads()&network.OffloadTSO4 != 0
	g.SetOffloads(cfg.Offloads)
	g.Stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	sack := tcpip.TCPSACKEnabled(true)
	if err := g.Stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack); err != nil {
		tb.Fatal(err)
	}
	if err := g.Stack.CreateNIC(nicID, (*card)(g)); err != nil {
		tb.Fatal(err)
	}
	go g.receive()
	tb.Cleanup(func() {
		link.Close()
		<-g.stopped
		g.Stack.Destroy()
	})
	return g
}

// SetOffloads has the guest's driver take other offloads for reception, as ethtool -K does. Frames that are on their way
// already may still be of a kind that was taken before.
func (g *Guest) SetOffloads(o network.Offloads) {
	g.tb.Helper()
	if err := g.link.SetGuestOffloads(o); err != nil {
		g.tb.Fatal(err)
	}
	g.take.Store(uint32(o))
}

// SetAddr gives the guest its address and default route.
func (g *Guest) SetAddr(addr netip.Prefix, gateway netip.Addr) {
	g.tb.Helper()
	g.Addr = addr.Addr()
	own := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(addr.Addr().As4()), PrefixLen: addr.Bits()}
	err := g.Stack.AddProtocolAddress(nicID, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: own}, stack.AddressProperties{})
	if err != nil {
		g.tb.Fatal(err)
	}
	g.Stack.SetRouteTable([]tcpip.Route{
		{Destination: own.Subnet(), NIC: nicID},
		{Destination: header.IPv4EmptySubnet, NIC: nicID, Gateway: tcpip.AddrFrom4(gateway.As4())},
	})
}

func (g *Guest) full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFrom4(a.Addr().As4()), Port: a.Port()}
}

// Dial connects by TCP.
func (g *Guest) Dial(ctx context.Context, to netip.AddrPort) (*gonet.TCPConn, error) {
	return gonet.DialContextTCP(ctx, g.Stack, g.full(to), ipv4.ProtocolNumber)
}

// Listen listens by TCP.
func (g *Guest) Listen(port uint16) (*gonet.TCPListener, error) {
	return gonet.ListenTCP(g.Stack, g.full(netip.AddrPortFrom(g.Addr, port)), ipv4.ProtocolNumber)
}

// DialUDP opens a UDP socket that is connected to an address.
func (g *Guest) DialUDP(to netip.AddrPort) (*gonet.UDPConn, error) {
	remote := g.full(to)
	return gonet.DialUDP(g.Stack, nil, &remote, ipv4.ProtocolNumber)
}

// ListenUDP opens a UDP socket on a port of the guest's.
func (g *Guest) ListenUDP(port uint16) (*gonet.UDPConn, error) {
	local := g.full(netip.AddrPortFrom(g.Addr, port))
	return gonet.DialUDP(g.Stack, &local, nil, ipv4.ProtocolNumber)
}

// Send writes a frame as it is, with a header that asks for nothing.
func (g *Guest) Send(frame []byte) error {
	var h [network.HeaderLen]byte
	g.writeMu.Lock()
	defer g.writeMu.Unlock()
	return g.link.WriteFrame([][]byte{h[:], frame})
}

// Watch has f see every frame that arrives, before the guest's stack does. Nil ends that.
func (g *Guest) Watch(f func(frame []byte)) {
	g.hookMu.Lock()
	defer g.hookMu.Unlock()
	g.hook = f
}

// receive is the driver's receiving half.
func (g *Guest) receive() {
	defer close(g.stopped)
	mem := make([]byte, network.MaxFrame)
	// Buffers of odd lengths, the header across two of them, so that nobody relies on how a driver lays them out.
	bufs := [][]byte{mem[:5], mem[5:32], mem[32:1003], mem[1003:4096], mem[4096:]}
	for {
		before := network.Offloads(g.take.Load())
		n, err := g.link.ReadFrame(bufs)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			g.readErr = err
			return
		}
		h := network.DecodeHeader(mem)
		frame := mem[network.HeaderLen:n]
		if !g.cfg.Trust {
			g.check(h, frame, before|network.Offloads(g.take.Load()))
		}
		g.hookMu.Lock()
		if g.hook != nil {
			g.hook(frame)
		}
		g.hookMu.Unlock()
		g.inject(frame)
	}
}

// check fails the test for a frame that the guest's driver did not agree to.
func (g *Guest) check(h network.Header, frame []byte, take network.Offloads) {
	if err := h.Check(len(frame), take); err != nil {
		g.tb.Errorf("frame for a guest with offloads %#x: %v", take, err)
		return
	}
	if h.Flags&network.FlagDataValid != 0 && take&network.OffloadChecksum == 0 {
		g.tb.Errorf("frame is called valid to a guest that did not take checksum offload")
	}
	if h.NumBuffers != 1 {
		g.tb.Errorf("frame in %d buffers, want 1", h.NumBuffers)
	}
	if h.GSOType == network.GSONone && len(frame) > header.EthernetMinimumSize+g.cfg.MTU {
		g.tb.Errorf("frame of %d bytes without segmentation, MTU %d", len(frame), g.cfg.MTU)
	}
	if err := network.CompleteChecksum(frame, &h); err != nil {
		g.tb.Error(err)
	}
	if !network.ValidChecksums(frame) {
		g.tb.Errorf("frame with a wrong checksum: % x", frame[:min(len(frame), 64)])
	}
}

func (g *Guest) inject(frame []byte) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	defer pkt.DecRef()
	if _, ok := pkt.LinkHeader().Consume(header.EthernetMinimumSize); !ok {
		g.tb.Errorf("frame of %d bytes", len(frame))
		return
	}
	eth := header.Ethernet(pkt.LinkHeader().Slice())
	switch dst := eth.DestinationAddress(); {
	case dst == header.EthernetBroadcastAddress:
		pkt.PktType = tcpip.PacketBroadcast
	case header.IsMulticastEthernetAddress(dst):
		pkt.PktType = tcpip.PacketMulticast
	case dst == tcpip.LinkAddress(MAC):
		pkt.PktType = tcpip.PacketHost
	default:
		return
	}
	pkt.NetworkProtocolNumber = eth.Type()
	g.dispatcher.DeliverNetworkPacket(eth.Type(), pkt)
}

// Stopped waits until the link has told the receiving driver that it is closed, and returns what it said.
func (g *Guest) Stopped(timeout time.Duration) error {
	select {
	case <-g.stopped:
		return g.readErr
	case <-time.After(timeout):
		return errors.New("the link did not end ReadFrame")
	}
}
