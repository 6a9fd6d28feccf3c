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

func TestParseForward(t *testing.T) {
	for in, want := range map[string]string{
		"8080:80":                   "tcp:127.0.0.1:8080:80",
		"tcp:8080:80":               "tcp:127.0.0.1:8080:80",
		"udp:53:5353":               "udp:127.0.0.1:53:5353",
		"0.0.0.0:22:22":             "tcp:0.0.0.0:22:22",
		"udp:192.0.2.1:65535:65535": "udp:192.0.2.1:65535:65535",
		"[::1]:8080:80":             "tcp:[::1]:8080:80",
		"udp:[fe80::1%eth0]:1:2":    "udp:[fe80::1%eth0]:1:2",
		"0:80":                      "tcp:127.0.0.1:0:80",
	} {
		f, err := usernet.ParseForward(in)
		if err != nil || f.String() != want {
			t.Errorf("%q: %v, %v; want %v", in, f, err, want)
		}
	}
	for _, in := range []string{
		"", "80", ":", ":80", "80:", "80:0", "80:65536", "65536:80", "-1:80", "80:-1", "80:+8", "+8:80", "x:80", "80:x", "80: 80",
		"sctp:80:80", "TCP:80:80", "tcp:80", "localhost:80:80", "::1:80:80", "[::1:80:80", "[127.0.0.1]:80:80", "1.2.3:80:80",
		"tcp:udp:80:80", "80:80:80:80", "127.0.0.1::80", "[]:80:80", "80:80\n",
	} {
		if f, err := usernet.ParseForward(in); !errors.Is(err, usernet.ErrForward) {
			t.Errorf("%q: %v, %v; want ErrForward", in, f, err)
		} else if !strings.Contains(err.Error(), fmt.Sprintf("%q", in)) {
			t.Errorf("%q: the error %q does not name it", in, err)
		}
	}
}

func FuzzParseForward(f *testing.F) {
	for _, s := range []string{"8080:80", "udp:[::1]:0:1", "tcp:0.0.0.0:65535:65535", ":::", "[%]:1:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fwd, err := usernet.ParseForward(s)
		if err != nil {
			return
		}
		again, err := usernet.ParseForward(fwd.String())
		if err != nil || again != fwd {
			t.Errorf("%q becomes %v, and that %v, %v", s, fwd, again, err)
		}
	})
}

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

func publish(t *testing.T, n *usernet.Network, s string) netip.AddrPort {
	t.Helper()
	f, err := usernet.ParseForward(s)
	if err != nil {
		t.Fatal(err)
	}
	at, err := n.Publish(f)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestForwardUDP(t *testing.T) {
	n := newNetwork(t, usernet.Config{MaxUDP: 8})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	at := publish(t, n, "udp:0:7000")
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
	at := publish(t, n, "0:7001")
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
	tcp, udp := publish(t, n, "0:80"), publish(t, n, "udp:0:80")
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
