package guesttest

import (
	"net"
	"strconv"
	"testing"
)

// TestSuspendEndsConnections suspends a machine whose guest waits for what a server will say: it is told that the server is gone, though it sends nothing.
func TestSuspendEndsConnections(t *testing.T) {
	needGuests(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
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
			defer c.Close()
		}
	}()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	f := newFile(t, "listen,hear:10.0.2.2:"+port)
	f.set("displayName", "hears")
	f.set("vmm.agent", "TRUE")
	f.addNIC()
	g := f.start(t, "--host-access="+port)
	g.expect("^hear: connected$")
	vmm(t, "suspend", "hears")
	if err := g.wait(); err != nil {
		t.Fatalf("vmm run: %v\n%s", err, g.err.String())
	}
	f.start(t, "--host-access="+port).finish()
}
