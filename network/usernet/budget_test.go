package usernet_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/network/usernet"
)

// TestBufferedIsBounded opens many connections to a host that reads nothing, and has the guest send as much as it can on each: what the
// network holds for them must stay within its bound. The kernel's sockets are bounded with it: otherwise they
// would take megabytes each.
func TestBufferedIsBounded(t *testing.T) {
	const connections, whole = 16, 1 << 20
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.(*net.TCPConn).SetReadBuffer(4096)
			defer c.Close()
		}
	}()
	n := newNetwork(t, usernet.Config{HostAccess: usernet.HostAccess{All: true}, MaxBuffered: whole})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	to := netip.AddrPortFrom(gateway, l.Addr().(*net.TCPAddr).AddrPort().Port())
	var conns []net.Conn
	for range connections {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c, err := g.Dial(ctx, to)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	var sent atomic.Int64
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(func() {
			piece := make([]byte, 64<<10)
			c.SetWriteDeadline(time.Now().Add(time.Second))
			for err := error(nil); err == nil; {
				var size int
				size, err = c.Write(piece)
				sent.Add(int64(size))
			}
		})
	}
	all.Wait()
	held := n.Stats().TCPUnread
	if held == 0 || held > whole {
		t.Errorf("%d KiB are held for slow hosts, want some, and at most %d KiB", held>>10, whole>>10)
	}
	t.Logf("the guest sent %d KiB, of which %d KiB are held", sent.Load()>>10, held>>10)
}
