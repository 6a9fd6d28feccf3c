package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/sharevm/vmm/internal/bench/order"
)

// aim is how long a measurement should take: its size is chosen from a short one before it.
const aim = 800 * time.Millisecond

// netFigures is what one guest's network did.
type netFigures struct {
	out, in float64 // MiB/s from the guest and to it
	asked   float64 // requests answered per second
}

// netServer is the other end of the guest's connection: a process of the nested host, as any service that a guest may use.
type netServer struct {
	listener *net.TCPListener
	buf      []byte
}

// newNetServer listens on every address of the host, since the guest's card decides by which it comes.
func newNetServer() (*netServer, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{})
	if err != nil {
		return nil, err
	}
	return &netServer{listener: l, buf: make([]byte, 256<<10)}, nil
}

func (s *netServer) port() uint16 { return s.listener.Addr().(*net.TCPAddr).AddrPort().Port() }

func (s *netServer) at(host netip.Addr) netip.AddrPort { return netip.AddrPortFrom(host, s.port()) }

// measure waits for a guest and gives it its orders.
func (s *netServer) measure(ctx context.Context) (f netFigures, err error) {
	defer context.AfterFunc(ctx, func() { _ = s.listener.SetDeadline(time.Unix(1, 0)) })()
	if err := s.listener.SetDeadline(time.Now().Add(limit)); err != nil {
		return f, err
	}
	c, err := s.listener.Accept()
	if err != nil {
		return f, fmt.Errorf("the guest did not connect: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return f, err
	}
	const mib = 1 << 20
	for _, m := range []struct {
		kind        order.Kind
		probe, unit uint64
		of          *float64
	}{{order.Send, 4 * mib, mib, &f.out}, {order.Take, 4 * mib, mib, &f.in}, {order.Ask, 200, 1, &f.asked}} {
		if _, err := s.time(c, order.Order{Kind: m.kind, Count: m.probe / 4}); err != nil { // windows open, code is warm
			return f, err
		}
		took, err := s.time(c, order.Order{Kind: m.kind, Count: m.probe})
		if err != nil {
			return f, err
		}
		count := max(m.probe, uint64(float64(m.probe)*aim.Seconds()/took.Seconds()))
		if took, err = s.time(c, order.Order{Kind: m.kind, Count: count}); err != nil {
			return f, err
		}
		*m.of = float64(count) / float64(m.unit) / took.Seconds()
	}
	return f, order.Order{Kind: order.End}.Write(c)
}

// time has one order carried out.
func (s *netServer) time(c net.Conn, o order.Order) (time.Duration, error) {
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

// lastLines keeps the end of what a monitor prints.
func lastLines(r io.Reader) <-chan string {
	end := make(chan string, 1)
	go func() {
		var t tail
		for s := bufio.NewScanner(r); s.Scan(); {
			t.add(s.Text())
		}
		end <- t.String()
	}()
	return end
}
