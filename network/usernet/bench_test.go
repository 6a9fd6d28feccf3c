package usernet_test

import (
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/network/usernet"
)

var guests = []struct {
	name     string
	offloads network.Offloads
}{
	{"plain", 0},
	{"tso", network.OffloadChecksum | network.OffloadTSO4},
}

// connect makes a connection from a new guest to the host. The figures of the benchmarks hold the guest's own stack as
// well: about half of the work.
func connect(b *testing.B, offloads network.Offloads) (guest, host net.Conn) {
	b.Helper()
	n := newNetwork(b, usernet.Config{HostAccess: usernet.HostAccess{All: true}})
	g := linktest.NewGuest(b, n, linktest.GuestConfig{Offloads: offloads, Trust: true})
	lease(b)(g)
	l, err := listenLoopback()
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	guest, err = g.Dial(b.Context(), netip.AddrPortFrom(gateway, l.Addr().(*net.TCPAddr).AddrPort().Port()))
	if err != nil {
		b.Fatal(err)
	}
	if host, err = l.Accept(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		guest.Close()
		host.Close()
	})
	return guest, host
}

const block = 1 << 20

func bench(b *testing.B, run func(b *testing.B, guest, host net.Conn)) {
	for _, g := range guests {
		b.Run(g.name, func(b *testing.B) {
			guest, host := connect(b, g.offloads)
			b.ReportAllocs()
			b.ResetTimer()
			run(b, guest, host)
		})
	}
}

// stream moves b.N blocks from one end to the other.
func stream(b *testing.B, from, to net.Conn) {
	b.SetBytes(block)
	go func() {
		data := make([]byte, block)
		for range b.N {
			if _, err := from.Write(data); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	buf := make([]byte, 256<<10)
	for left := int64(b.N) * block; left > 0; {
		k, err := to.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		left -= int64(k)
	}
}

func BenchmarkTCPOut(b *testing.B) {
	bench(b, func(b *testing.B, guest, host net.Conn) { stream(b, guest, host) })
}

func BenchmarkTCPIn(b *testing.B) {
	bench(b, func(b *testing.B, guest, host net.Conn) { stream(b, host, guest) })
}

// BenchmarkTCPRoundTrip asks and answers with 64 bytes.
func BenchmarkTCPRoundTrip(b *testing.B) {
	bench(b, func(b *testing.B, guest, host net.Conn) {
		go io.Copy(host, host)
		message := make([]byte, 64)
		for range b.N {
			if _, err := guest.Write(message); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(guest, message); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkUDPRoundTrip is one datagram of 64 bytes each way, raw at the guest's end.
func BenchmarkUDPRoundTrip(b *testing.B) {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			server.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	n := newNetwork(b, usernet.Config{HostAccess: usernet.HostAccess{All: true}})
	g := linktest.NewGuest(b, n, linktest.GuestConfig{Trust: true})
	lease(b)(g)
	to := netip.AddrPortFrom(gateway, server.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	frame := linktest.UDPFrame(net.HardwareAddr{0x52, 0x55, 10, 0, 2, 2}, netip.AddrPortFrom(g.Addr, 5000), to, make([]byte, 64))
	back := make(chan struct{}, 1)
	g.Watch(func(frame []byte) {
		if frame[23] == 17 {
			back <- struct{}{}
		}
	})
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := g.Send(frame); err != nil {
			b.Fatal(err)
		}
		<-back
	}
	b.StopTimer()
	g.Watch(nil)
}

// BenchmarkNew is what a machine pays for having the network.
func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		n, err := usernet.New(usernet.Config{})
		if err != nil {
			b.Fatal(err)
		}
		n.Close()
	}
}
