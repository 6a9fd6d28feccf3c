package usernet_test

import (
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/network/usernet"
)

// moving is a cable whose other end is put into another network.
type moving struct {
	at atomic.Pointer[usernet.Network]
}

func (m *moving) WriteFrame(bufs [][]byte) error            { return m.at.Load().WriteFrame(bufs) }
func (m *moving) Offloads() network.Offloads                { return m.at.Load().Offloads() }
func (m *moving) SetGuestOffloads(o network.Offloads) error { return m.at.Load().SetGuestOffloads(o) }
func (m *moving) SetReadDeadline(t time.Time) error         { return m.at.Load().SetReadDeadline(t) }
func (m *moving) Close() error                              { return m.at.Load().Close() }
func (m *moving) ReadFrame(bufs [][]byte) (int, error) {
	for {
		n := m.at.Load()
		size, err := n.ReadFrame(bufs)
		if err == nil || m.at.Load() == n {
			return size, err
		}
	}
}

// TestAbandon has a guest go on at another network, which does not carry its connections: they end, though the guest only listens.
func TestAbandon(t *testing.T) {
	access := usernet.Config{HostAccess: usernet.HostAccess{All: true}}
	before, after := newNetwork(t, access), newNetwork(t, access)
	cable := &moving{}
	cable.at.Store(before)
	g := linktest.NewGuest(t, cable, linktest.GuestConfig{})
	lease(t)(g)
	outward, _ := pair(t, g)
	inward := published(t, before, g)

	want := map[string]string{outward.LocalAddr().String(): outward.RemoteAddr().String(), inward.LocalAddr().String(): inward.RemoteAddr().String()}
	all := before.Connections()
	for end := time.Now().Add(patience); len(all) < len(want) && time.Now().Before(end); all = before.Connections() {
		time.Sleep(time.Millisecond) // the guest's end is there a little before
	}
	for _, c := range all {
		if want[c.Guest.String()] != c.Outside.String() {
			t.Errorf("the network carries %v; the guest has %v", c, want)
		}
	}
	if len(all) != len(want) {
		t.Fatalf("the network carries %v; the guest has %v", all, want)
	}
	cable.at.Store(after)
	// Not the guest's, or nobody's at all: a snapshot may hold anything.
	guest, outside := all[0].Guest, all[0].Outside
	for _, c := range []network.Connection{{}, {Guest: outside, Outside: guest}, {Guest: guest, Outside: netip.MustParseAddrPort("[::1]:1")}, {Guest: guest, Outside: netip.MustParseAddrPort("224.0.0.1:1")}} {
		after.Abandon([]network.Connection{c})
	}
	after.Abandon(all)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{outward, inward} {
		if n, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "reset") {
			t.Errorf("the guest reads %d bytes, %v", n, err)
		}
	}

	fresh, host := pair(t, g)
	if _, err := host.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Read(make([]byte, 1)); err != nil {
		t.Errorf("a connection after that: %v", err)
	}
}

// published returns the guest's end of a connection from outside.
func published(t *testing.T, n *usernet.Network, g *linktest.Guest) net.Conn {
	t.Helper()
	l, err := g.Listen(80)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at, err := n.Publish(usernet.Forward{Protocol: usernet.TCP, Host: netip.MustParseAddrPort("127.0.0.1:0"), Guest: 80})
	if err != nil {
		t.Fatal(err)
	}
	host, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	return c
}
