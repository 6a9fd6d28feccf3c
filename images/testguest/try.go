package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// try (WANT:HOST:PORT) connects by TCP, a name being asked of the network's own resolver. WANT says what must come of it: ok, refused, or
// noname where there is not even an address.
func try(args string) error {
	if err := online(); err != nil {
		return err
	}
	want, at, _ := strings.Cut(args, ":")
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, "10.0.2.3:53")
	}}
	addrs, err := r.LookupIP(ctx, "ip4", host)
	got := "noname"
	if err == nil {
		var c net.Conn
		if c, err = (&net.Dialer{}).DialContext(ctx, "tcp4", net.JoinHostPort(addrs[0].String(), port)); err == nil {
			got = "ok"
			_ = c.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) {
			got = "refused"
		}
	}
	if got != want {
		return fmt.Errorf("%s: %v, not %s", at, err, want)
	}
	return nil
}
