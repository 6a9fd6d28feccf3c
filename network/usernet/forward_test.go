package usernet_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/network/usernet"
)

func TestForwardErrors(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.Addr().(*net.TCPAddr).AddrPort()
	for _, f := range []usernet.Forward{
		{Protocol: usernet.TCP, Host: at, Guest: 80},
		{Protocol: usernet.TCP, Host: at},
		{Protocol: usernet.TCP, Guest: 80},
		{Protocol: usernet.ICMP, Host: at, Guest: 80},
	} {
		if n, err := usernet.New(usernet.Config{Forwards: []usernet.Forward{f}}); err == nil {
			n.Close()
			t.Errorf("%v: no error", f)
		} else if !strings.Contains(err.Error(), f.Host.String()) {
			t.Errorf("%v: the error %q does not name it", f, err)
		}
	}
}

// anyPort has the host choose a free port of its loopback.
var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

// publish opens a free port of the host's for a port of the guest's, and returns it.
func publish(t *testing.T, n *usernet.Network, proto usernet.Protocol, guest uint16) netip.AddrPort {
	t.Helper()
	at, err := n.Publish(usernet.Forward{Protocol: proto, Host: anyPort, Guest: guest})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestForwardUDP(t *testing.T) {
	n := newNetwork(t, usernet.Config{MaxUDP: 8})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	at := publish(t, n, usernet.UDP, 7000)
	server, err := g.ListenUDP(7000)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 2048)
		for {
			size, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if addr := from.(*net.UDPAddr).AddrPort().Addr().Unmap(); addr != gateway {
				t.Errorf("a datagram from %v, want the gateway", from)
			}
			server.WriteTo(append([]byte("to "), buf[:size]...), from)
		}
	}()
	// More clients than places, all with the same port of the guest's, each with its own answers.
	for i := range 20 {
		c, err := net.Dial("udp4", at.String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		for range 2 {
			fmt.Fprintf(c, "client %d", i)
			buf := make([]byte, 64)
			size, err := c.Read(buf)
			if want := fmt.Sprintf("to client %d", i); err != nil || string(buf[:size]) != want {
				t.Fatalf("client %d got %q, %v", i, buf[:size], err)
			}
		}
		c.Close()
	}
	if s := n.Stats(); s.UDPOpen > 8 {
		t.Errorf("%d flows open of 8", s.UDPOpen)
	}
	server.Close()
	<-ended
}

// A port where nobody in the guest listens ends the client's connection.
func TestForwardRefused(t *testing.T) {
	n := newNetwork(t, usernet.Config{})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	at := publish(t, n, usernet.TCP, 7001)
	c, err := net.Dial("tcp4", at.String()) // which may be as quick as the reset, or not
	if err == nil {
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
	if s := n.Stats(); s.Unreachable != 1 {
		t.Errorf("%+v, want 1 unreachable", s)
	}
}

// Close frees the ports.
func TestForwardPortsFree(t *testing.T) {
	n := newNetwork(t, usernet.Config{})
	tcp, udp := publish(t, n, usernet.TCP, 80), publish(t, n, usernet.UDP, 80)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", tcp.String())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	p, err := net.ListenPacket("udp4", udp.String())
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if _, err := n.Publish(usernet.Forward{Protocol: usernet.TCP, Host: tcp, Guest: 80}); err == nil {
		t.Error("a closed network publishes a port")
	}
}
