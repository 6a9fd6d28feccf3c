package linktest

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/sharevm/vmm/network"
)

// testDeadline holds SetReadDeadline to what net.Conn does.
func testDeadline(t *testing.T, link network.Link) {
	defer link.Close()
	bufs := [][]byte{make([]byte, network.MaxFrame)}
	drain := func() error {
		for {
			if _, err := link.ReadFrame(bufs); err != nil {
				return err
			}
		}
	}
	for _, at := range []time.Time{time.Now().Add(-time.Second), time.Now().Add(20 * time.Millisecond)} {
		if err := link.SetReadDeadline(at); err != nil {
			t.Fatal(err)
		}
		if err := drain(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("ReadFrame after its deadline: %v", err)
		}
	}
	// A deadline set from elsewhere ends a read that runs; lifted, the next read waits again.
	if err := link.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- drain() }()
	select {
	case err := <-ended:
		t.Fatalf("ReadFrame without a deadline: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	link.SetReadDeadline(time.Now())
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("ReadFrame: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("a deadline of now does not end a read that runs")
	}
}

// testTooSmall sees that a frame which does not fit is left out, and the next one is read.
func testTooSmall(t *testing.T, env Env) {
	g := NewGuest(t, &narrow{Link: env.Link, wide: 600}, GuestConfig{})
	env.Setup(g)
	if err := g.Ping(env.Host, 1400, 200*time.Millisecond); err == nil {
		t.Fatal("a reply of 1400 bytes came through buffers of 600")
	}
	if err := g.Ping(env.Host, 100, patience); err != nil {
		t.Fatal(err)
	}
}

// narrow gives a link only wide bytes to read a frame into.
type narrow struct {
	network.Link
	wide int
}

func (n *narrow) ReadFrame(bufs [][]byte) (int, error) {
	room := n.wide
	var some [][]byte
	for _, b := range bufs {
		b = b[:min(len(b), room)]
		room -= len(b)
		some = append(some, b)
	}
	return n.Link.ReadFrame(some)
}
