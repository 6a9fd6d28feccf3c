package nested

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// TestPortsFree asks for ports that can be had, and for others. What cannot be had is said before anything is started.
func TestPortsFree(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	c := Config{Args: []string{"true"}, Publish: []Forward{{port, 80}}}
	if status, err := Run(t.Context(), c); status != StatusInfrastructure || err == nil || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port that is in use: %d, %v", status, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.portsFree(); err != nil {
		t.Error(err)
	}
	for _, f := range []Forward{{0, 80}, {port, 0}} {
		c.Publish = []Forward{f}
		if err := c.portsFree(); !errors.Is(err, ErrConfig) {
			t.Errorf("%v: %v", f, err)
		}
	}
}
