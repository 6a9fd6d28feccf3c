package usernet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/network/usernet"
)

// gate lets a guest's driver read frames only while it is open.
type gate struct {
	network.Link
	mu sync.Mutex
}

func (g *gate) ReadFrame(bufs [][]byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.Link.ReadFrame(bufs)
}

// pattern is a stream that shows what was lost or doubled: words that count.
func pattern(size int) []byte {
	b := make([]byte, 0, size)
	for i := uint32(0); len(b) < size; i++ {
		b = binary.BigEndian.AppendUint32(b, i)
	}
	return b
}

// pair connects the guest to the host.
func pair(t *testing.T, g *linktest.Guest) (guest, host net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	guest, err = g.Dial(ctx, netip.AddrPortFrom(gateway, l.Addr().(*net.TCPAddr).AddrPort().Port()))
	if err != nil {
		t.Fatal(err)
	}
	if host, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		guest.Close()
		host.Close()
	})
	for _, c := range []net.Conn{guest, host} {
		c.SetDeadline(time.Now().Add(patience))
	}
	return guest, host
}

// A guest that stops taking frames stops the host's sender; when it goes on, nothing was lost.
func TestBackpressure(t *testing.T) {
	for name, offloads := range map[string]network.Offloads{"none": 0, "tso": network.OffloadChecksum | network.OffloadTSO4} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}})
			driver := &gate{Link: n}
			g := linktest.NewGuest(t, driver, linktest.GuestConfig{Offloads: offloads})
			lease(t)(g)
			guest, host := pair(t, g)

			n.SetReadDeadline(time.Now()) // the driver lets go of the gate
			driver.mu.Lock()
			n.SetReadDeadline(time.Time{})
			data := pattern(64 << 20)
			sent := make(chan int, 1)
			go func() {
				total := 0
				for total < len(data) {
					// As long as somewhere there is room, a write does not take this long.
					host.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
					k, err := host.Write(data[total:])
					total += k
					if errors.Is(err, os.ErrDeadlineExceeded) {
						break
					}
				}
				sent <- total
			}()
			before := <-sent
			if before == len(data) {
				t.Fatalf("the network took %d bytes for a guest that takes none", before)
			}
			driver.mu.Unlock()
			go func() {
				host.SetWriteDeadline(time.Now().Add(patience))
				host.Write(data[before:])
				host.(*net.TCPConn).CloseWrite()
			}()
			got, err := io.ReadAll(guest)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes of %d arrived, %v", len(got), len(data), err)
			}
			if s := n.Stats(); s.ToGuestDropped != 0 {
				t.Errorf("%d frames dropped", s.ToGuestDropped)
			}
		})
	}
}

// A driver that changes its mind about offloads, as ethtool does, loses no connection.
func TestOffloadsChange(t *testing.T) {
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{Offloads: network.OffloadChecksum | network.OffloadTSO4})
	lease(t)(g)
	guest, host := pair(t, g)
	for _, o := range []network.Offloads{0, network.OffloadChecksum, network.OffloadChecksum | network.OffloadTSO4, 0} {
		g.SetOffloads(o)
		data := pattern(1 << 20)
		go host.Write(data)
		got := make([]byte, len(data))
		if _, err := io.ReadFull(guest, got); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("offloads %#x: %v, equal: %v", o, err, bytes.Equal(got, data))
		}
	}
}

// The guest's reset reaches a relay that waits for the host to take more.
func TestGuestResetWhileHostIsFull(t *testing.T) {
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	guest, host := pair(t, g)
	host.Write([]byte("unread, so that Close resets"))
	if _, err := guest.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for {
		guest.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := guest.Write(make([]byte, 1<<16)); err != nil {
			break
		}
	}
	guest.Close()
	eventually(t, "the connection ends", func() bool { return n.Stats().TCPOpen == 0 })
}

func TestConfigErrors(t *testing.T) {
	for name, c := range map[string]usernet.Config{
		"IPv6":              {Subnet: netip.MustParsePrefix("fd00::/64")},
		"small subnet":      {Subnet: netip.MustParsePrefix("10.0.0.0/30")},
		"gateway elsewhere": {Gateway: netip.MustParseAddr("10.0.3.2")},
		"gateway is guest":  {Gateway: netip.MustParseAddr("10.0.2.15")},
		"broadcast":         {DNS: netip.MustParseAddr("10.0.2.255")},
		"network":           {Guest: netip.MustParseAddr("10.0.2.0")},
		"MTU":               {MTU: 68},
		"long MTU":          {MTU: 65536},
		"multicast MAC":     {MAC: net.HardwareAddr{1, 0, 0, 0, 0, 0}},
		"short MAC":         {MAC: net.HardwareAddr{2}},
		"hostname":          {Hostname: string(make([]byte, 256))},
	} {
		if n, err := usernet.New(c); err == nil {
			n.Close()
			t.Errorf("%s: no error", name)
		}
	}
	n := newNetwork(t, usernet.Config{Subnet: netip.MustParsePrefix("10.0.0.9/29")})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	if g.Addr.String() != "10.0.0.12" {
		t.Errorf("guest %v in the subnet 10.0.0.8/29, want .12", g.Addr)
	}
}

// Close may be called at any time, by several, and more than once.
func TestCloseTwice(t *testing.T) {
	n := newNetwork(t, usernet.Config{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if _, err := n.ReadFrame([][]byte{make([]byte, network.MaxFrame)}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadFrame: %v, want net.ErrClosed", err)
	}
	if err := n.SetReadDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SetReadDeadline: %v, want net.ErrClosed", err)
	}
}
