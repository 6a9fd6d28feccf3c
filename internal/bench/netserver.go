package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/sharevm/vmm/internal/bench/order"
)

// quantity is what is measured of a guest's network.
type quantity struct {
	name, unit string
	kind       order.Kind
	probe      uint64  // of the order's counts, to find out how many take as long as a slice
	per        float64 // counts in one of the unit
}

var quantities = []quantity{
	{"out", "MiB/s", order.Send, 1 << 20, 1 << 20},
	{"in", "MiB/s", order.Take, 1 << 20, 1 << 20},
	{"request", "1/s", order.Ask, 50, 1},
}

// netServer is the other end of the guests' connections: a process of the nested host, as any service that a guest may use.
type netServer struct {
	listener *net.TCPListener
	buf      []byte
}

// newNetServer listens on every address of the host, since it depends on the guest's wire by which it comes.
func newNetServer() (*netServer, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{})
	if err != nil {
		return nil, err
	}
	return &netServer{listener: l, buf: make([]byte, 256<<10)}, nil
}

// at is the server's address for a guest that knows the host as host.
func (s *netServer) at(host netip.Addr) netip.AddrPort {
	return netip.AddrPortFrom(host, s.listener.Addr().(*net.TCPAddr).AddrPort().Port())
}

// accept waits for a guest.
func (s *netServer) accept(ctx context.Context) (net.Conn, error) {
	if err := s.listener.SetDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = s.listener.SetDeadline(time.Unix(1, 0)) })()
	c, err := s.listener.Accept()
	if err != nil {
		return nil, fmt.Errorf("the guest did not connect: %w", err)
	}
	return c, nil
}

// time has a guest carry out one order.
func (s *netServer) time(c net.Conn, o order.Order) (time.Duration, error) {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := o.Write(c); err != nil {
		return 0, err
	}
	var err error
	switch o.Kind {
	case order.Send:
		_, err = io.CopyN(discard{s.buf}, c, int64(o.Count))
	case order.Take:
		for left := o.Count; left > 0 && err == nil; {
			var n int
			n, err = c.Write(s.buf[:min(left, uint64(len(s.buf)))])
			left -= uint64(n)
		}
		if err == nil {
			_, err = io.ReadFull(c, s.buf[:1])
		}
	case order.Ask:
		for range o.Count {
			if _, err = io.ReadFull(c, s.buf[:order.MessageLen]); err != nil {
				break
			}
			if _, err = c.Write(s.buf[:order.MessageLen]); err != nil {
				break
			}
		}
	}
	return time.Since(start), err
}

// discard reads into one large buffer, where [io.Discard] reads 8 KiB at a time.
type discard struct{ buf []byte }

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// ReadFrom implements io.ReaderFrom.
func (d discard) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		k, err := r.Read(d.buf)
		n += int64(k)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
