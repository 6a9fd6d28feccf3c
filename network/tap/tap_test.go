package tap

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	hostAddr  = netip.MustParsePrefix("192.0.2.1/24")
	guestAddr = netip.MustParsePrefix("192.0.2.2/24")
)

// open makes a device in a namespace of its own, with the host's address on it.
func open(tb testing.TB, cfg Config) (linktest.Netns, []*Link) {
	tb.Helper()
	linktest.NeedRoot(tb, device)
	ns := linktest.NewNetns(tb)
	links, err := linktest.In(ns, func() ([]*Link, error) {
		links, err := Open(cfg)
		if err != nil {
			return nil, err
		}
		dev, err := netlink.LinkByName(links[0].Name())
		if err != nil {
			return links, err
		}
		addr, err := netlink.ParseAddr(hostAddr.String())
		if err != nil {
			return links, err
		}
		return links, netlink.AddrAdd(dev, addr)
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		for _, l := range links {
			l.Close()
		}
	})
	return ns, links
}

func env(ns linktest.Netns, link network.Link) linktest.Env {
	return linktest.Env{
		Link:  link,
		Setup: func(g *linktest.Guest) { g.SetAddr(guestAddr, hostAddr.Addr()) },
		Host:  hostAddr.Addr(),
		Listen: func() (net.Listener, error) {
			return linktest.In(ns, func() (net.Listener, error) { return net.Listen("tcp4", hostAddr.Addr().String()+":0") })
		},
		ListenPacket: func() (net.PacketConn, error) {
			return linktest.In(ns, func() (net.PacketConn, error) { return net.ListenPacket("udp4", hostAddr.Addr().String()+":0") })
		},
		Dial: func(port uint16) (net.Conn, error) {
			return linktest.In(ns, func() (net.Conn, error) {
				return net.Dial("tcp4", fmt.Sprintf("%v:%d", guestAddr.Addr(), port))
			})
		},
	}
}

func TestConformance(t *testing.T) {
	linktest.NeedRoot(t, device)
	linktest.Run(t, func(t *testing.T) linktest.Env {
		ns, links := open(t, Config{Name: "vmm%d", Up: true})
		return env(ns, links[0])
	})
}

// The kernel spreads flows over the queues; frames written to any of them arrive.
func TestQueues(t *testing.T) {
	ns, links := open(t, Config{Name: "vmmq", Queues: 2, Up: true})
	if len(links) != 2 || links[0].Name() != "vmmq" || links[1].Name() != "vmmq" {
		t.Fatalf("%d links, the first of %q", len(links), links[0].Name())
	}
	server, err := linktest.In(ns, func() (net.PacketConn, error) { return net.ListenPacket("udp4", "192.0.2.1:9") })
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	dev, err := linktest.In(ns, func() (netlink.Link, error) { return netlink.LinkByName("vmmq") })
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range links {
		src := netip.AddrPortFrom(guestAddr.Addr(), 7)
		frame := linktest.UDPFrame(dev.Attrs().HardwareAddr, src, netip.MustParseAddrPort("192.0.2.1:9"), []byte{byte(i)})
		if err := l.WriteFrame([][]byte{make([]byte, network.HeaderLen), frame}); err != nil {
			t.Fatal(err)
		}
		var got [2]byte
		if n, _, err := server.ReadFrom(got[:]); err != nil || n != 1 || got[0] != byte(i) {
			t.Fatalf("queue %d: %d bytes % x, %v", i, n, got, err)
		}
	}
}

func TestHostileFrames(t *testing.T) {
	_, links := open(t, Config{Name: "vmm%d", Up: true})
	l := links[0]
	frame := make([]byte, network.HeaderLen+60)
	bad := network.Header{Flags: network.FlagNeedsChecksum, CsumStart: 70, CsumOffset: 16}
	bad.Encode(frame)
	for _, bufs := range [][][]byte{nil, {{1, 2, 3}}, {frame[:network.HeaderLen]}, {frame}} {
		if err := l.WriteFrame(bufs); err != nil {
			t.Errorf("%d bytes: %v", network.Len(bufs), err)
		}
	}
	if s := l.Stats(); s.FromGuestMalformed != 4 || s.FromGuestFrames != 0 {
		t.Errorf("%+v, want 4 malformed frames", s)
	}
}

// A frame to an interface that is down is lost, as on a cable that is not plugged in.
func TestDown(t *testing.T) {
	_, links := open(t, Config{Name: "vmm%d"})
	if err := links[0].WriteFrame([][]byte{make([]byte, network.HeaderLen+60)}); err != nil {
		t.Fatal(err)
	}
	if s := links[0].Stats(); s.FromGuestDropped != 1 {
		t.Fatalf("%+v, want 1 dropped frame", s)
	}
}

func TestOpenErrors(t *testing.T) {
	for _, cfg := range []Config{{}, {Name: "sixteen-bytes-it"}, {Name: "vmm0", Queues: 300}, {Name: "vmm0", Queues: -1}} {
		if _, err := Open(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
	ns, _ := open(t, Config{Name: "vmm0"})
	for _, c := range []struct {
		cfg  Config
		want string
		is   error
	}{
		{Config{Name: "vmm0"}, "in use", unix.EBUSY},
		{Config{Name: "vmm0", Queues: 2}, "another number of queues", unix.EINVAL},
		{Config{Name: "lo"}, "no TAP device", unix.EINVAL},
	} {
		_, err := linktest.In(ns, func() ([]*Link, error) { return Open(c.cfg) })
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.cfg.Name) {
			t.Errorf("%+v: %v; want one that says %q", c.cfg, err, c.want)
		}
	}
}

// A process without the right to make one is told how to come by a device.
func TestNoPermission(t *testing.T) {
	linktest.NeedRoot(t, device)
	ns := linktest.NewNetns(t)
	err := ns.Do(func() error {
		// The thread gives its capabilities up, and ends with the test.
		var none [2]unix.CapUserData
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			t.Fatal(err)
		}
		_, err := Open(Config{Name: "vmm0"})
		return err
	})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "ip tuntap add vmm0") {
		t.Fatalf("%v; want one that says how to make the device", err)
	}
}

func TestSetNumBuffers(t *testing.T) {
	b := make([]byte, 14)
	for cut := range b {
		for i := range b {
			b[i] = 0xff
		}
		setNumBuffers([][]byte{b[:cut], b[cut:]})
		if b[9] != 0xff || b[10] != 1 || b[11] != 0 || b[12] != 0xff {
			t.Errorf("cut at %d: % x", cut, b)
		}
	}
}
