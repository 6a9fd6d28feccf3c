package guesttest

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/network/tap"
)

// outside is a network beyond the host, 203.0.113.0/24: a TAP device with a machine behind it that has a page without end on port 80
// of 203.0.113.1.
func outside(t *testing.T) {
	t.Helper()
	links, err := tap.Open(tap.Config{Name: "vmmfw0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = links[0].Close() })
	dev, err := netlink.LinkByName(links[0].Name())
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := netip.MustParsePrefix("203.0.113.2/24"), netip.MustParsePrefix("203.0.113.1/24")
	addr, err := netlink.ParseAddr(ours.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(dev, addr); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(dev); err != nil {
		t.Fatal(err)
	}
	site := linktest.NewGuest(t, links[0], linktest.GuestConfig{})
	site.SetAddr(theirs, ours.Addr())
	l, err := site.Listen(80)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for buf := make([]byte, 4096); ; {
			if _, err := w.Write(buf); err != nil {
				return
			}
		}
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
}

// resolver makes the host ask a resolver of the test's own, which knows three names.
func resolver(t *testing.T) {
	t.Helper()
	const file = "/etc/resolv.conf"
	names := map[string][4]byte{"good.test.": {203, 0, 113, 1}, "evil.test.": {203, 0, 113, 9}, "sneaky.test.": {192, 168, 99, 1}}
	conn, err := net.ListenPacket("udp4", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Additionals = true, nil
			if a, ok := names[q.Name.String()]; !ok {
				m.RCode = dnsmessage.RCodeNameError
			} else if q.Type == dnsmessage.TypeA {
				h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}
				m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: a}}}
			}
			if b, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(b, from)
			}
		}
	}()
	old, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(file, old, 0o644) })
}

// TestFirewall has a guest that may reach one site try others, and finds in vmm ps what was refused.
func TestFirewall(t *testing.T) {
	needGuests(t)
	outside(t)
	resolver(t)
	f := newFile(t, strings.Join([]string{
		"try:refused:203.0.113.1:80", // not before its name has been asked for
		"try:ok:good.test:80", "try:ok:203.0.113.1:80", "try:refused:good.test:81",
		"try:noname:evil.test:80", "try:refused:203.0.113.9:80",
		"try:refused:sneaky.test:80", // a name must not lead into the host's network
		"try:refused:10.0.2.2:80",
		"drain:http://203.0.113.1/",
	}, ","))
	f.addNIC()
	f.set("vmm.net.allow", "good.test:80, sneaky.test")
	g := f.start(t)
	g.expect(`^load \d+$`)
	n := status(t).NICs[0]
	if r := n.Refused; r["policy"] != 3 || r["lan"] != 1 || r["host"] != 1 || r["name"] == 0 || r["limit"] != 0 {
		t.Errorf("refused: %v", r)
	}
	said := fmt.Sprint(n.Refusals)
	for _, want := range []string{"policy tcp 203.0.113.1:80}", "policy tcp 203.0.113.1:81}", "policy tcp 203.0.113.9:80}", "lan tcp 192.168.99.1:80}", "host tcp 10.0.2.2:80}", "name udp evil.test.}"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not among %s", want, said)
		}
	}
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	if err := g.wait(); err != nil {
		t.Error(err)
	}
}
