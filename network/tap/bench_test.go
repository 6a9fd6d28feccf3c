package tap

import (
	"net"
	"net/netip"
	"testing"

	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
)

// The figures hold the guest's own TCP/IP stack as well, which is most of the work.
func benchTCP(b *testing.B, ends func(guest, host net.Conn) (from, to net.Conn)) {
	const block = 1 << 20
	ns, links := open(b, Config{Name: "vmm%d", Up: true})
	e := env(ns, links[0])
	g := linktest.NewGuest(b, links[0], linktest.GuestConfig{Offloads: network.OffloadChecksum | network.OffloadTSO4, Trust: true})
	e.Setup(g)
	l, err := e.Listen()
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	guest, err := g.Dial(b.Context(), netip.AddrPortFrom(e.Host, l.Addr().(*net.TCPAddr).AddrPort().Port()))
	if err != nil {
		b.Fatal(err)
	}
	defer guest.Close()
	host, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer host.Close()
	from, to := ends(guest, host)
	b.SetBytes(block)
	b.ReportAllocs()
	b.ResetTimer()
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
	b.StopTimer()
}

func BenchmarkTCPOut(b *testing.B) {
	benchTCP(b, func(guest, host net.Conn) (from, to net.Conn) { return guest, host })
}

func BenchmarkTCPIn(b *testing.B) {
	benchTCP(b, func(guest, host net.Conn) (from, to net.Conn) { return host, guest })
}

// BenchmarkWriteFrame is the sending half alone: one frame into the kernel, which drops it.
func BenchmarkWriteFrame(b *testing.B) {
	_, links := open(b, Config{Name: "vmm%d", Up: true})
	bufs := [][]byte{make([]byte, network.HeaderLen), make([]byte, 1514)}
	b.SetBytes(1514)
	b.ReportAllocs()
	for b.Loop() {
		if err := links[0].WriteFrame(bufs); err != nil {
			b.Fatal(err)
		}
	}
}
