package usernet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/network/usernet"
)

const patience = 20 * time.Second

// serve echoes on a TCP and a UDP port of the host's, both of the same number, and returns it.
func serve(t *testing.T, addr string) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.ListenPacket("udp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	work.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			p.WriteTo(buf[:n], from)
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.Close()
		work.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// reachTCP says whether the guest gets a byte echoed. Anything but a quick refusal otherwise fails the test.
func reachTCP(t *testing.T, g *linktest.Guest, to netip.AddrPort) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := g.Dial(ctx, to)
	if err != nil {
		if ctx.Err() != nil {
			t.Errorf("%v: neither accepted nor refused: %v", to, err)
		}
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	c.Write([]byte("x"))
	n, _ := c.Read(make([]byte, 1))
	return n == 1
}

// reachUDP says whether the guest gets a datagram echoed. Anything but an ICMP error otherwise fails the test.
func reachUDP(t *testing.T, g *linktest.Guest, to netip.AddrPort) bool {
	t.Helper()
	c, err := g.DialUDP(to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	unreachable := make(chan struct{}, 1)
	g.Watch(func(frame []byte) {
		const icmp, portUnreachable = 1, "\x03\x03" // RFC 792
		if len(frame) > 36 && frame[23] == icmp && string(frame[34:36]) == portUnreachable {
			unreachable <- struct{}{}
			c.SetReadDeadline(time.Unix(1, 0))
		}
	})
	defer g.Watch(nil)
	c.Write([]byte("x"))
	n, err := c.Read(make([]byte, 1))
	if n != 1 && len(unreachable) == 0 {
		t.Errorf("%v: neither answered nor unreachable: %v", to, err)
	}
	return n == 1
}

// ownAddress is an address of the host's beside its loopback.
func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			return p.Addr()
		}
	}
	t.Skip("the host has no address but its loopback")
	return netip.Addr{}
}

func TestHostOutOfReach(t *testing.T) {
	port := serve(t, "127.0.0.1")
	n := newNetwork(t, usernet.Config{})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	for i, to := range []string{"10.0.2.2", "10.0.2.3", "10.0.2.77", "0.0.0.1", "169.254.169.254", "240.0.0.1"} {
		at := netip.AddrPortFrom(netip.MustParseAddr(to), port)
		if i != 2 && reachTCP(t, g, at) { // a neighbour that is not there answers no ARP: nothing would refuse it
			t.Errorf("the guest reached %v by TCP", at)
		}
	}
	for _, to := range []string{"10.0.2.2", "10.0.2.3"} {
		if at := netip.AddrPortFrom(netip.MustParseAddr(to), port); reachUDP(t, g, at) {
			t.Errorf("the guest reached %v by UDP", at)
		}
	}
	if s := n.Stats(); s.Refused[usernet.RefusedHost] < 6 || s.TCPTotal != 0 || s.UDPTotal != 0 {
		t.Errorf("%+v, want at least 6 refusals and no flow", s)
	}
}

func TestHostsOwnAddressOutOfReach(t *testing.T) {
	own := ownAddress(t)
	port := serve(t, "0.0.0.0")
	n := newNetwork(t, usernet.Config{})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	if at := netip.AddrPortFrom(own, port); reachTCP(t, g, at) || reachUDP(t, g, at) {
		t.Errorf("the guest reached the host at %v", at)
	}
	if s := n.Stats(); s.Refused[usernet.RefusedHost] != 2 {
		t.Errorf("%d refusals counted, want 2", s.Refused[usernet.RefusedHost])
	}
}

func TestHostAccess(t *testing.T) {
	allowed, other := serve(t, "127.0.0.1"), serve(t, "127.0.0.1")
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{Ports: []uint16{allowed}}})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	if at := netip.AddrPortFrom(gateway, allowed); !reachTCP(t, g, at) || !reachUDP(t, g, at) {
		t.Error("the guest does not reach a port that it may")
	}
	if at := netip.AddrPortFrom(gateway, other); reachTCP(t, g, at) || reachUDP(t, g, at) {
		t.Error("the guest reaches a port that it may not")
	}
}

// denyPort refuses one port and remembers what it was asked.
type denyPort struct {
	port uint16

	mu    sync.Mutex
	asked []string
}

func (d *denyPort) Allow(f usernet.Flow) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, f.Protocol.String()+" "+f.To.String())
	return f.To.Port() != d.port
}

func TestPolicy(t *testing.T) {
	allowed, denied := serve(t, "127.0.0.1"), serve(t, "127.0.0.1")
	policy := &denyPort{port: denied}
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}, Policy: policy})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	yes, no := netip.AddrPortFrom(gateway, allowed), netip.AddrPortFrom(gateway, denied)
	if !reachTCP(t, g, yes) || !reachUDP(t, g, yes) || reachTCP(t, g, no) || reachUDP(t, g, no) {
		t.Error("the policy is not obeyed")
	}
	want := []string{"tcp " + yes.String(), "udp " + yes.String(), "tcp " + no.String(), "udp " + no.String()}
	if !slices.Equal(policy.asked, want) {
		t.Errorf("asked %v, want %v", policy.asked, want)
	}
	if s := n.Stats(); s.Refused[usernet.RefusedPolicy] != 2 || s.Refused[usernet.RefusedHost] != 0 {
		t.Errorf("%+v, want 2 refusals by the policy", s)
	}
}

// panicky is a policy with a bug.
type panicky struct{ port uint16 }

func (p panicky) Allow(f usernet.Flow) bool {
	if f.To.Port() == p.port {
		panic("the bug")
	}
	return true
}

// TestPanicCostsOneConnection has a goroutine of the network panic: the guest's connection is refused, and others go on.
func TestPanicCostsOneConnection(t *testing.T) {
	fine, broken := serve(t, "127.0.0.1"), serve(t, "127.0.0.1")
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}, Policy: panicky{broken}})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	if reachTCP(t, g, netip.AddrPortFrom(gateway, broken)) {
		t.Error("a policy that panicked has allowed")
	}
	if !reachTCP(t, g, netip.AddrPortFrom(gateway, fine)) {
		t.Error("no connection after a panic")
	}
}

// A guest does not come by another address than its own subnet's, and nobody answers for the guest's own: it would
// think the address taken.
func TestPlausibleFrames(t *testing.T) {
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	before := n.Stats()
	to := netip.AddrPortFrom(gateway, 9)
	mac := net.HardwareAddr{0x52, 0x55, 10, 0, 2, 2}
	for _, src := range []string{"10.0.2.2", "10.0.2.3", "192.0.2.1", "127.0.0.1", "255.255.255.255"} {
		g.Send(linktest.UDPFrame(mac, netip.AddrPortFrom(netip.MustParseAddr(src), 9), to, []byte("x")))
	}
	probe := make([]byte, 14+28)
	copy(probe, "\xff\xff\xff\xff\xff\xff")
	copy(probe[6:], linktest.MAC)
	copy(probe[12:], "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01")
	copy(probe[22:], linktest.MAC)
	copy(probe[38:], []byte{10, 0, 2, 15})
	g.Send(probe)
	vlan := make([]byte, 60)
	copy(vlan[12:], "\x81\x00")
	g.Send(vlan)
	s := n.Stats()
	if got := s.FromGuestMalformed - before.FromGuestMalformed; got != 7 {
		t.Errorf("%d frames dropped, want 7", got)
	}
	if s.UDPTotal != 0 || s.ToGuestFrames != before.ToGuestFrames {
		t.Errorf("%+v, want no flow and no answer", s)
	}
	copy(probe[38:], []byte{10, 0, 2, 2})
	answered := make(chan struct{}, 1)
	g.Watch(func(frame []byte) {
		if string(frame[12:14]) == "\x08\x06" {
			answered <- struct{}{}
		}
	})
	g.Send(probe)
	select {
	case <-answered:
	case <-time.After(patience):
		t.Error("the gateway does not answer ARP")
	}
	g.Watch(nil)
}

// A frame whose sum is wrong goes nowhere, and is counted for whoever doubts the guest's card.
func TestWrongChecksum(t *testing.T) {
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	before := n.Stats()
	frame := linktest.UDPFrame(net.HardwareAddr{0x52, 0x55, 10, 0, 2, 2}, netip.MustParseAddrPort("10.0.2.15:9"), netip.AddrPortFrom(gateway, 9), []byte("x"))
	frame[14+10] ^= 1 // of the IPv4 header's own
	g.Send(frame)
	s := n.Stats()
	if got := s.FromGuestChecksum - before.FromGuestChecksum; got != 1 || s.FromGuestMalformed-before.FromGuestMalformed != 1 || s.UDPTotal != before.UDPTotal {
		t.Errorf("%d frames with a wrong checksum counted, want 1: %+v", got, s)
	}
}

func TestMaxTCP(t *testing.T) {
	port := serve(t, "127.0.0.1")
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}, MaxTCP: 2})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	at := netip.AddrPortFrom(gateway, port)
	for range 2 {
		c, err := g.Dial(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte("x"))
		c.Read(make([]byte, 1)) // an echo: the connection is in the table
	}
	if reachTCP(t, g, at) {
		t.Error("a third connection, of 2")
	}
	if s := n.Stats(); s.Refused[usernet.RefusedLimit] != 1 || s.TCPOpen != 2 || s.TCPTotal != 2 {
		t.Errorf("%+v, want 1 refusal and 2 connections", s)
	}
}

func TestMaxUDP(t *testing.T) {
	port := serve(t, "127.0.0.1")
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}, MaxUDP: 4})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	for range 20 {
		if !reachUDP(t, g, netip.AddrPortFrom(gateway, port)) {
			t.Fatal("a new flow does not get the place of an old one")
		}
	}
	if s := n.Stats(); s.UDPOpen > 4 || s.UDPTotal != 20 {
		t.Errorf("%+v, want at most 4 of 20 flows open", s)
	}
}

// eventually waits until f holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestUDPIdle(t *testing.T) {
	port := serve(t, "127.0.0.1")
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}, UDPIdle: 50 * time.Millisecond})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	if !reachUDP(t, g, netip.AddrPortFrom(gateway, port)) {
		t.Fatal("no echo")
	}
	eventually(t, "an idle flow ends", func() bool { return n.Stats().UDPOpen == 0 })
}

// Only whom the guest wrote to may answer on its port.
func TestUDPStranger(t *testing.T) {
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	c, err := g.ListenUDP(5000)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to := server.LocalAddr().(*net.UDPAddr)
	if _, err := c.WriteTo([]byte("hello"), &net.UDPAddr{IP: gateway.AsSlice(), Port: to.Port}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	_, mapped, err := server.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := net.Dial("udp4", mapped.String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	stranger.Write([]byte("stranger"))
	server.WriteTo([]byte("friend"), mapped) // after the stranger, on the same socket
	c.SetReadDeadline(time.Now().Add(patience))
	size, from, err := c.ReadFrom(buf)
	if err != nil || string(buf[:size]) != "friend" || from.String() != netip.AddrPortFrom(gateway, uint16(to.Port)).String() {
		t.Errorf("the guest got %q from %v, %v", buf[:size], from, err)
	}
}

func TestPingOutside(t *testing.T) {
	linktest.NeedRoot(t, "/proc/sys/net/ipv4/ping_group_range")
	ns := linktest.NewNetns(t)
	err := ns.Do(func() error {
		if err := linktest.LoopbackUp(); err != nil {
			return err
		}
		return os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0)
	})
	if errors.Is(err, syscall.EROFS) {
		t.Skip("ping_group_range is read-only here")
	}
	if err != nil {
		t.Fatal(err)
	}
	// The namespace knows no outside but its loopback, which a configuration that allows the host stands in for.
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}})
	g := linktest.NewGuest(t, inNetns{n, ns}, linktest.GuestConfig{})
	lease(t)(g)
	outside := netip.MustParseAddr("198.51.100.7")
	if err := ns.Do(func() error { return linktest.LoopbackAddr(netip.PrefixFrom(outside, 32)) }); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 56, 3000} {
		if err := g.Ping(outside, size, patience); err != nil {
			t.Errorf("%d bytes: %v; %+v", size, err, n.Stats())
		}
	}
}

// inNetns has a network's sockets of the sending half opened in a namespace.
type inNetns struct {
	network.Link
	ns linktest.Netns
}

func (i inNetns) WriteFrame(bufs [][]byte) error {
	return i.ns.Do(func() error { return i.Link.WriteFrame(bufs) })
}

// An echo that nobody outside may answer gets none: the network does not make replies up.
func TestPingNobody(t *testing.T) {
	n := newNetwork(t, usernet.Config{})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	if err := g.Ping(netip.MustParseAddr("169.254.1.1"), 8, 50*time.Millisecond); err == nil {
		t.Error("an address that is refused answers")
	}
	if s := n.Stats(); s.Refused[usernet.RefusedHost] != 1 {
		t.Errorf("%+v, want 1 refusal", s)
	}
	if err := g.Ping(netip.MustParseAddr("10.0.2.3"), 8, patience); err != nil {
		t.Error(err)
	}
}

// TestLANOutOfReach asks for private addresses: refused without a socket being opened, counted, and remembered.
func TestLANOutOfReach(t *testing.T) {
	n := newNetwork(t, usernet.Config{})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	for _, to := range []string{"10.99.0.1:80", "172.16.3.4:22", "192.168.1.1:443", "100.64.0.1:53"} {
		if at := netip.MustParseAddrPort(to); reachTCP(t, g, at) || reachUDP(t, g, at) {
			t.Errorf("the guest reached %v", at)
		}
	}
	s := n.Stats()
	if s.Refused[usernet.RefusedLAN] != 8 || s.Unreachable != 0 {
		t.Errorf("%+v, want 8 refusals", s)
	}
	all := n.Refusals()
	if len(all) != 8 {
		t.Fatalf("%d refusals are remembered", len(all))
	}
	if r := all[1]; r.Reason != usernet.RefusedLAN || r.Protocol != usernet.UDP || r.To.String() != "10.99.0.1:80" || time.Since(r.At) > time.Minute {
		t.Errorf("the second refusal is %+v", r)
	}
}

// TestRefusalsBounded has more refused than is remembered.
func TestRefusalsBounded(t *testing.T) {
	n := newNetwork(t, usernet.Config{})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	mac := net.HardwareAddr{0x52, 0x55, 10, 0, 2, 2}
	const count = 1000
	for i := range uint16(count) {
		to := netip.AddrPortFrom(netip.MustParseAddr("10.99.0.1"), i+1)
		g.Send(linktest.UDPFrame(mac, netip.MustParseAddrPort("10.0.2.15:9"), to, []byte("x")))
	}
	if s := n.Stats(); s.Refused[usernet.RefusedLAN] != count {
		t.Errorf("%d refusals are counted, want %d", s.Refused[usernet.RefusedLAN], count)
	}
	all := n.Refusals()
	if len(all) != 32 || all[0].To.Port() != count-31 || all[31].To.Port() != count {
		t.Errorf("%d refusals are remembered: %v", len(all), all)
	}
}

// TestHostOnlyHostAccess reaches what HostAccess names from a network without a way out, and nothing else.
func TestHostOnlyHostAccess(t *testing.T) {
	allowed, other := serve(t, "127.0.0.1"), serve(t, "127.0.0.1")
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{Ports: []uint16{allowed}}, Policy: usernet.HostOnly{}})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	if at := netip.AddrPortFrom(gateway, allowed); !reachTCP(t, g, at) || !reachUDP(t, g, at) {
		t.Error("the guest does not reach a port that it may")
	}
	for _, at := range []netip.AddrPort{netip.AddrPortFrom(gateway, other), netip.MustParseAddrPort("192.0.2.1:80")} {
		if reachTCP(t, g, at) || reachUDP(t, g, at) {
			t.Errorf("the guest reached %v", at)
		}
	}
	if s := n.Stats(); s.Refused[usernet.RefusedHost] != 2 || s.Refused[usernet.RefusedPolicy] != 2 {
		t.Errorf("%+v", s.Refused)
	}
}
