package usernet_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/network/usernet"
)

var answerAddr = [4]byte{192, 0, 2, 42}

// reply answers a query with answerAddr.
func reply(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response = true
	m.Answers = []dnsmessage.Resource{
		{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60},
			Body: &dnsmessage.TXTResource{TXT: []string{"beside the point"}}},
		{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60},
			Body: &dnsmessage.AResource{A: answerAddr}},
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// forgeries are answers that a liar sends before the right one.
func forgeries(right []byte) [][]byte {
	change := func(f func(b []byte)) []byte {
		b := slices.Clone(right)
		f(b)
		return b
	}
	other, _ := (&dnsmessage.Message{
		Header:    dnsmessage.Header{ID: binary.BigEndian.Uint16(right), Response: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("evil.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}).Pack()
	return [][]byte{
		{},
		right[:11],
		right[:len(right)-1],                     // cut off
		change(func(b []byte) { b[0] ^= 1 }),     // another identifier
		change(func(b []byte) { b[2] &^= 0x80 }), // a question
		change(func(b []byte) { b[6], b[7] = 255, 255 }), // 65535 answers, of which 2 are there
		other,
	}
}

// resolver is a DNS server on the host's loopback, by UDP and TCP on one port. It answers each question by UDP with
// forgeries first.
func resolver(t *testing.T) (netip.AddrPort, *[]string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.ListenPacket("udp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen []string
	note := func(how string, query []byte) {
		mu.Lock()
		defer mu.Unlock()
		var m dnsmessage.Message
		if m.Unpack(query) == nil {
			seen = append(seen, how+" "+m.Questions[0].Name.String())
		}
	}
	var work sync.WaitGroup
	work.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			note("udp", buf[:n])
			right := reply(buf[:n])
			for _, f := range forgeries(right) {
				p.WriteTo(f, from)
			}
			p.WriteTo(right, from)
		}
	})
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				query, err := readMessage(c)
				if err != nil {
					return
				}
				note("tcp", query)
				writeMessage(c, reply(query))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.Close()
		work.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort(), &seen
}

func readMessage(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

func writeMessage(w io.Writer, m []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
	return err
}

// lookup asks the network's DNS server as a guest does.
func lookup(t *testing.T, g *linktest.Guest, how, name string) dnsmessage.Message {
	t.Helper()
	query, err := (&dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 0x1234, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}).Pack()
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort("10.0.2.3:53")
	var raw []byte
	if how == "tcp" {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, err := g.Dial(ctx, at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		if err := writeMessage(c, query); err != nil {
			t.Fatal(err)
		}
		if raw, err = readMessage(c); err != nil {
			t.Fatalf("answer by TCP: %v", err)
		}
	} else {
		c, err := g.DialUDP(at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(query); err != nil {
			t.Fatal(err)
		}
		raw = make([]byte, 4096)
		n, err := c.Read(raw)
		if err != nil {
			t.Fatalf("answer by UDP: %v", err)
		}
		raw = raw[:n]
	}
	var m dnsmessage.Message
	if err := m.Unpack(raw); err != nil {
		t.Fatal(err)
	}
	if m.ID != 0x1234 || !m.Response || len(m.Questions) != 1 || m.Questions[0].Name.String() != name {
		t.Errorf("answer %+v", m)
	}
	return m
}

func TestDNS(t *testing.T) {
	server, seen := resolver(t)
	// The first resolver does not live: the second is asked.
	n := newNetwork(t, usernet.Config{Resolvers: []netip.AddrPort{closedPort(t), server}})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	for _, how := range []string{"udp", "tcp"} {
		m := lookup(t, g, how, "www.example.")
		if a, ok := m.Answers[len(m.Answers)-1].Body.(*dnsmessage.AResource); !ok || a.A != answerAddr {
			t.Errorf("%s: answers %v", how, m.Answers)
		}
	}
	if want := []string{"udp www.example.", "tcp www.example."}; !slices.Equal(*seen, want) {
		t.Errorf("the resolver saw %v, want %v", *seen, want)
	}
	if s := n.Stats(); s.DNSQueries != 2 || s.DNSFailures != 0 {
		t.Errorf("%+v", s)
	}
}

// closedPort is a port of the loopback where nobody listens.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	p, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return p.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestDNSServerFailure(t *testing.T) {
	n := newNetwork(t, usernet.Config{Resolvers: []netip.AddrPort{closedPort(t)}})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	for _, how := range []string{"udp", "tcp"} {
		if m := lookup(t, g, how, "www.example."); m.RCode != dnsmessage.RCodeServerFailure {
			t.Errorf("%s: %v, want a server failure", how, m.RCode)
		}
	}
	if s := n.Stats(); s.DNSFailures != 2 {
		t.Errorf("%d failures counted, want 2", s.DNSFailures)
	}
}

// names is a policy that knows one name.
type names struct {
	denyPort
	resolved []string
}

func (n *names) AllowName(name string) bool { return name == "good.example." }

func (n *names) Resolved(name string, found []usernet.Resolution) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range found {
		n.resolved = append(n.resolved, name+" "+r.Addr.String())
	}
}

func TestDNSPolicy(t *testing.T) {
	server, seen := resolver(t)
	policy := &names{}
	n := newNetwork(t, usernet.Config{Resolvers: []netip.AddrPort{server}, Policy: policy})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	for _, how := range []string{"udp", "tcp"} {
		if m := lookup(t, g, how, "evil.example."); m.RCode != dnsmessage.RCodeRefused {
			t.Errorf("%s: %v, want a refusal", how, m.RCode)
		}
		if m := lookup(t, g, how, "GOOD.example."); m.RCode != dnsmessage.RCodeSuccess || len(m.Answers) != 2 {
			t.Errorf("%s: %v, want an answer", how, m)
		}
	}
	if want := []string{"good.example. 192.0.2.42", "good.example. 192.0.2.42"}; !slices.Equal(policy.resolved, want) {
		t.Errorf("told %v, want %v", policy.resolved, want)
	}
	if strings.Contains(strings.Join(*seen, " "), "evil") {
		t.Errorf("the resolver saw %v", *seen)
	}
	if s := n.Stats(); s.Refused[usernet.RefusedName] != 2 {
		t.Errorf("%d refusals counted, want 2", s.Refused[usernet.RefusedName])
	}
}

// What is no question is dropped and counted.
func TestDNSNoQuestion(t *testing.T) {
	n := newNetwork(t, usernet.Config{Resolvers: []netip.AddrPort{closedPort(t)}})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	lease(t)(g)
	c, err := g.DialUDP(netip.MustParseAddrPort("10.0.2.3:53"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	two := dnsmessage.Question{Name: dnsmessage.MustNewName("a."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	several, _ := (&dnsmessage.Message{Questions: []dnsmessage.Question{two, two}}).Pack()
	for _, b := range [][]byte{{0}, make([]byte, 12), several, {0, 0, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1}, make([]byte, 5000)} {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "5 malformed messages counted", func() bool { return n.Stats().FromGuestMalformed == 5 })
	if s := n.Stats(); s.DNSQueries != 0 {
		t.Errorf("%+v, want no query", s)
	}
}
