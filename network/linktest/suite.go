package linktest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sharevm/vmm/network"
)

// Env is a link under test with the host behind it.
type Env struct {
	Link network.Link
	// Setup gives the guest its address.
	Setup func(g *Guest)
	// Host is where the guest reaches the servers that Listen and ListenPacket open on the host.
	Host         netip.Addr
	Listen       func() (net.Listener, error)
	ListenPacket func() (net.PacketConn, error)
	// Dial connects from the host to a TCP port of the guest's.
	Dial func(port uint16) (net.Conn, error)
}

// offloadSets are the kinds of guest that the suite plays: from one without any offload to one with all.
var offloadSets = []struct {
	name     string
	offloads network.Offloads
}{
	{"none", 0},
	{"csum", network.OffloadChecksum},
	{"tso", network.OffloadChecksum | network.OffloadTSO4 | network.OffloadECN},
}

// patience bounds whatever the suite waits for.
const patience = 30 * time.Second

// Run runs the suite; open makes a new link for each of its tests.
func Run(t *testing.T, open func(t *testing.T) Env) {
	tests := []struct {
		name string
		run  func(t *testing.T, env Env, g *Guest)
	}{
		{"bulk out", testBulkOut},
		{"bulk in", testBulkIn},
		{"connect in", testConnectIn},
		{"udp", testUDP},
		{"ping", testPing},
		{"parallel", testParallel},
		{"half-close", testHalfClose},
		{"refused", testRefused},
		{"reset by host", testResetByHost},
		{"reset by guest", testResetByGuest},
		{"close in transfer", testCloseInTransfer},
	}
	for _, set := range offloadSets {
		t.Run(set.name, func(t *testing.T) {
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) {
					env := open(t)
					g := NewGuest(t, env.Link, GuestConfig{Offloads: set.offloads})
					env.Setup(g)
					test.run(t, env, g)
				})
			}
		})
	}
	t.Run("deadline", func(t *testing.T) { testDeadline(t, open(t).Link) })
	t.Run("too small", func(t *testing.T) { testTooSmall(t, open(t)) })
}

const bulk = 4 << 20

// stream is a reproducible stream of bytes.
func stream(seed uint64) io.Reader {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	return rand.NewChaCha8(key)
}

func digest(r io.Reader) ([sha256.Size]byte, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return [sha256.Size]byte(h.Sum(nil)), n, err
}

func listen(t *testing.T, env Env) (net.Listener, netip.AddrPort) {
	t.Helper()
	l, err := env.Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, netip.AddrPortFrom(env.Host, l.Addr().(*net.TCPAddr).AddrPort().Port())
}

func dial(t *testing.T, g *Guest, to netip.AddrPort) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := g.Dial(ctx, to)
	if err != nil {
		t.Fatalf("guest connecting to %v: %v", to, err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// pair makes a connection from the guest to the host.
func pair(t *testing.T, env Env, g *Guest) (guest, host net.Conn) {
	t.Helper()
	l, at := listen(t, env)
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	guest = dial(t, g, at)
	select {
	case host = <-accepted:
	case <-time.After(patience):
		t.Fatal("the host did not get the guest's connection")
	}
	t.Cleanup(func() { host.Close() })
	host.SetDeadline(time.Now().Add(patience))
	return guest, host
}

// transfer sends bulk bytes from one end to the other, closes that direction, and compares.
func transfer(t *testing.T, from, to net.Conn, seed uint64) {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := io.CopyN(from, stream(seed), bulk)
		sent <- errors.Join(err, from.(interface{ CloseWrite() error }).CloseWrite())
	}()
	got, n, err := digest(to)
	if err != nil {
		t.Fatalf("receiving, after %d bytes: %v", n, err)
	}
	if err := <-sent; err != nil {
		t.Fatalf("sending: %v", err)
	}
	want, _, _ := digest(io.LimitReader(stream(seed), bulk))
	if n != bulk || got != want {
		t.Fatalf("%d bytes arrived of %d, equal: %v", n, bulk, got == want)
	}
}

func testBulkOut(t *testing.T, env Env, g *Guest) {
	guest, host := pair(t, env, g)
	transfer(t, guest, host, 1)
}

func testBulkIn(t *testing.T, env Env, g *Guest) {
	guest, host := pair(t, env, g)
	transfer(t, host, guest, 2)
}

func testConnectIn(t *testing.T, env Env, g *Guest) {
	l, err := g.Listen(8080)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	host, err := env.Dial(8080)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	select {
	case guest := <-accepted:
		defer guest.Close()
		for _, c := range []net.Conn{host, guest} {
			c.SetDeadline(time.Now().Add(patience))
		}
		transfer(t, host, guest, 3)
		transfer(t, guest, host, 4)
	case <-time.After(patience):
		t.Fatal("the guest did not get the host's connection")
	}
}

func testUDP(t *testing.T, env Env, g *Guest) {
	server, err := env.ListenPacket()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			server.WriteTo(buf[:n], from)
		}
	}()
	c, err := g.DialUDP(netip.AddrPortFrom(env.Host, server.LocalAddr().(*net.UDPAddr).AddrPort().Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	for _, size := range []int{1, 512, 1472, 1473, 9000, 40000} { // the last three in fragments
		message := make([]byte, size)
		io.ReadFull(stream(uint64(size)), message)
		if _, err := c.Write(message); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		reply := make([]byte, 65536)
		n, err := c.Read(reply)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if string(reply[:n]) != string(message) {
			t.Fatalf("%d bytes came back as %d others", size, n)
		}
	}
}

func testPing(t *testing.T, env Env, g *Guest) {
	for _, size := range []int{0, 56, 1473, 5000} {
		if err := g.Ping(env.Host, size, patience); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func testParallel(t *testing.T, env Env, g *Guest) {
	const conns, size = 64, 64 << 10
	l, at := listen(t, env)
	var servers sync.WaitGroup
	defer servers.Wait()
	defer l.Close()
	servers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			servers.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	errs := make(chan error, conns)
	for i := range uint64(conns) {
		go func() { errs <- echo(t.Context(), g, at, i, size) }()
	}
	for range conns {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// echo sends size bytes and wants them back.
func echo(ctx context.Context, g *Guest, to netip.AddrPort, seed uint64, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := g.Dial(ctx, to)
	if err != nil {
		return fmt.Errorf("connection %d: %w", seed, err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	go func() {
		io.CopyN(c, stream(seed), size)
		c.CloseWrite()
	}()
	got, n, err := digest(c)
	if err != nil {
		return fmt.Errorf("connection %d, after %d bytes: %w", seed, n, err)
	}
	if want, _, _ := digest(io.LimitReader(stream(seed), size)); got != want {
		return fmt.Errorf("connection %d: %d bytes came back, or others", seed, n)
	}
	return nil
}

func testHalfClose(t *testing.T, env Env, g *Guest) {
	guest, host := pair(t, env, g)
	transfer(t, guest, host, 5) // the guest is done; the host is not
	transfer(t, host, guest, 6)

	guest, host = pair(t, env, g)
	transfer(t, host, guest, 7)
	transfer(t, guest, host, 8)
}

func testRefused(t *testing.T, env Env, g *Guest) {
	l, at := listen(t, env)
	l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := g.Dial(ctx, at)
	if err == nil {
		c.Close()
		t.Fatal("connected to a port where nobody listens")
	}
	if ctx.Err() != nil {
		t.Fatalf("waited for a refusal: %v", err)
	}
}

func testResetByHost(t *testing.T, env Env, g *Guest) {
	guest, host := pair(t, env, g)
	host.(*net.TCPConn).SetLinger(0)
	host.Close()
	if n, err := guest.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Fatalf("guest read %d, %v; want a reset", n, err)
	}
}

func testResetByGuest(t *testing.T, env Env, g *Guest) {
	guest, host := pair(t, env, g)
	if _, err := host.Write([]byte("unread")); err != nil {
		t.Fatal(err)
	}
	one := make([]byte, 1)
	if _, err := guest.Read(one); err != nil {
		t.Fatal(err)
	}
	guest.Close() // with bytes unread: RFC 2525, section 2.17
	if n, err := host.Read(one); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("host read %d, %v; want a reset", n, err)
	}
}

func testCloseInTransfer(t *testing.T, env Env, g *Guest) {
	guest, host := pair(t, env, g)
	ended := make(chan struct{}, 2)
	pump := func(to io.Writer, seed uint64) {
		io.Copy(to, stream(seed))
		ended <- struct{}{}
	}
	go pump(host, 9)
	go pump(guest, 10)
	if _, err := io.CopyN(io.Discard, guest, 1<<20); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- env.Link.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("Close waits for ever")
	}
	if err := g.Stopped(patience); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("ReadFrame of a closed link: %v, want net.ErrClosed", err)
	}
	if err := env.Link.WriteFrame([][]byte{make([]byte, network.HeaderLen+60)}); err != nil {
		t.Fatalf("WriteFrame to a closed link: %v, want nil", err)
	}
	host.Close()
	guest.Close()
	for range 2 {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("a transfer outlives its connection")
		}
	}
}
