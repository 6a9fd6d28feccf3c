package guesttest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// page serves random bytes on the host's loopback.
func page(t *testing.T, size int) (port string, sum string) {
	t.Helper()
	body := make([]byte, size)
	_, _ = rand.Read(body)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port(), fmt.Sprintf("%x", sha256.Sum256(body))
}

func TestUserNetwork(t *testing.T) {
	port, sum := page(t, 4<<20)
	f := newFile(t, "net:http://10.0.2.2:"+port+"/")
	f.addNIC()
	g := f.start(t, "--host-access", port, "--timeline")
	g.finish()
	if got := g.said(`^net http.* status=200 bytes=4194304 sha256=(\S+)$`); len(got) != 1 || got[0][1] != sum {
		t.Errorf("the guest fetched %v, the server has %s", got, sum)
	}
	if !strings.Contains(g.err.String(), "network up: the guest is 10.0.2.15") {
		t.Errorf("the timeline does not show the lease:\n%s", g.err.String())
	}
}

func TestHostIsOutOfReach(t *testing.T) {
	port, _ := page(t, 16)
	f := newFile(t, "net:http://10.0.2.2:"+port+"/")
	f.addNIC()
	g := f.start(t)
	g.expect("task net: failed: .*(refused|reset|unreachable)")
	if err := g.wait(); err != nil {
		t.Error(err)
	}
}

func TestPublish(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	f := newFile(t, "serve:80")
	f.addNIC()
	g := f.start(t, "--publish", port+":80")
	g.expect("^serving 80$")
	body := strings.Repeat("over the wall ", 10000)
	c := http.Client{Timeout: limit}
	r, err := c.Post("http://127.0.0.1:"+port+"/", "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	if err != nil || string(got) != "the guest echoes: "+body {
		t.Errorf("the guest answered %d bytes, %v", len(got), err)
	}
	g.finish()
}

// TestTAP carries a page over a TAP device. The guest has no DHCP server there and is told its address.
func TestTAP(t *testing.T) {
	needGuests(t)
	const name = "vmmtest0"
	link := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal("make a TAP device:", err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(link) })
	addr, err := netlink.ParseAddr("192.168.77.1/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 4<<20)
	_, _ = rand.Read(body)
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "page", time.Time{}, bytes.NewReader(body))
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	f := newFile(t, "net:http://192.168.77.1:"+port+"/")
	f.cmdline = append(f.cmdline, "vmm.ip=192.168.77.2/24")
	f.addNIC()
	g := f.start(t, "--net", "tap="+name)
	g.finish()
	if got := g.said(`^net http.* sha256=(\S+)$`); len(got) != 1 || got[0][1] != fmt.Sprintf("%x", sha256.Sum256(body)) {
		t.Errorf("the guest fetched %v", got)
	}
}
