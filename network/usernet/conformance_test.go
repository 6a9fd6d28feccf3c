package usernet_test

import (
	"net"
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/network/usernet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newNetwork builds a network that closes with the test.
func newNetwork(tb testing.TB, cfg usernet.Config) *usernet.Network {
	tb.Helper()
	n, err := usernet.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { n.Close() })
	return n
}

// lease has a guest take its address by DHCP.
func lease(tb testing.TB) func(*linktest.Guest) {
	return func(g *linktest.Guest) {
		tb.Helper()
		if _, err := g.DHCP("guest"); err != nil {
			tb.Fatal(err)
		}
	}
}

var gateway = netip.MustParseAddr("10.0.2.2")

func listenLoopback() (net.Listener, error) { return net.Listen("tcp4", "127.0.0.1:0") }

func TestConformance(t *testing.T) {
	linktest.Run(t, func(t *testing.T) linktest.Env {
		n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}})
		return linktest.Env{
			Link:         n,
			Setup:        lease(t),
			Host:         gateway,
			Listen:       listenLoopback,
			ListenPacket: func() (net.PacketConn, error) { return net.ListenPacket("udp4", "127.0.0.1:0") },
			Dial: func(port uint16) (net.Conn, error) {
				at, err := n.Publish(usernet.Forward{Protocol: usernet.TCP, Host: anyPort, Guest: port})
				if err != nil {
					return nil, err
				}
				return net.Dial("tcp4", at.String())
			},
		}
	})
}
