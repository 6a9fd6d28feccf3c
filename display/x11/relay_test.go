package x11

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jezek/xgb/xproto"

	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/internal/desktop"
)

// authorize writes an Xauthority file with one cookie for all displays, for servers and, in the environment, for clients.
func authorize(t *testing.T, cookie string) (file string) {
	t.Helper()
	b := binary.BigEndian.AppendUint16(nil, familyWild)
	for _, f := range []string{"", "", magicCookie, cookie} {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(f))), f...)
	}
	file = filepath.Join(t.TempDir(), "authority")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XAUTHORITY", file)
	return file
}

// TestRelay shows a window by way of a relay, which has the cookie that the window's own machine has not.
func TestRelay(t *testing.T) {
	file := authorize(t, "0123456789abcdef")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	relayed := make(chan error, 1)
	far := func(c *Config) {
		server := c.Display
		if err := Try(server); err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				relayed <- err
				return
			}
			relayed <- Relay(conn, server)
		}()
		c.Display = fmt.Sprintf("127.0.0.1:%d", l.Addr().(*net.TCPAddr).Port-6000)
	}
	d := newDesk(t, input.Tablet, far, "-auth", file)
	d.paint()
	d.eventually("the picture", d.shows)
	d.xdotool("mousemove", "10", "10", "key", "a")
	d.eventually("a key", func() bool { return len(d.keyboard.take()) > 0 })
	if err := d.window.Close(); err != nil {
		t.Error(err)
	}
	if err := <-relayed; err != nil {
		t.Error(err)
	}
	if _, err := xproto.GetInputFocus(d.other).Reply(); err != nil {
		t.Errorf("the server after the relay's end: %v", err)
	}
}

// TestTry is refused with the server's reason, and says who does not answer.
func TestTry(t *testing.T) {
	server := desktop.XServer(t, "800x600", "-auth", authorize(t, "0123456789abcdef"))
	authorize(t, "another cookie!!")
	if err := Try(server); err == nil || !strings.Contains(err.Error(), "lets this user not in") {
		t.Errorf("with a wrong cookie: %v", err)
	}
	if err := Try("127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "display 127.0.0.1:1") {
		t.Errorf("without a server: %v", err)
	}
	if err := Try(""); os.Getenv("DISPLAY") == "" && err != errNoDisplay {
		t.Errorf("without a name: %v", err)
	}
}

// TestSkipHello takes one message and not a byte more.
func TestSkipHello(t *testing.T) {
	for _, test := range []struct {
		name, in, left string
		ok             bool
	}{
		{"no cookie", "l\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00rest", "rest", true},
		{"a cookie", "l\x00\x0b\x00\x00\x00\x03\x00\x05\x00\x00\x00nam.datas...rest", "rest", true},
		{"the other order", "B\x00\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x00", "", false},
		{"cut", "l\x00\x0b\x00\x00\x00\x03\x00\x05\x00\x00\x00nam.", "", false},
		{"nothing", "", "", false},
	} {
		r := strings.NewReader(test.in)
		if err := skipHello(r); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		} else if left := test.in[len(test.in)-r.Len():]; test.ok && left != test.left {
			t.Errorf("%s: %q is left", test.name, left)
		}
	}
}
