package usernet

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/sharevm/vmm/internal/clock"
)

func flow(proto Protocol, to string, region Region) Flow {
	return Flow{proto, netip.MustParseAddrPort(to), region}
}

func TestAllowList(t *testing.T) {
	l := NewAllowList(nil, []Rule{
		{Name: "www.example.org", Port: 443, Protocol: TCP},
		{Name: "*.example.net", Port: 443},
		{Prefix: netip.MustParsePrefix("198.51.100.0/24")},
		{Prefix: netip.MustParsePrefix("192.168.7.0/28"), Port: 80},
		{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Port: 123, Protocol: UDP},
	})
	for name, want := range map[string]bool{
		"www.example.org.": true, "example.org.": false, "a.www.example.org.": false, "example.net.": false, "a.example.net.": true, "a.b.example.net.": true,
		"badexample.net.": false, ".example.net.": false, "evil.org.": false, ".": false, "": false,
	} {
		if got := l.AllowName(name); got != want {
			t.Errorf("question %q: %v, want %v", name, got, want)
		}
	}
	resolve := func(name, addr string) {
		l.Resolved(name, []Resolution{{netip.MustParseAddr(addr), time.Hour}})
	}
	resolve("www.example.org.", "203.0.113.1")
	resolve("www.example.org.", "10.1.2.3")
	resolve("x.example.net.", "203.0.113.2")
	resolve("other.org.", "203.0.113.3")
	for f, want := range map[Flow]bool{
		flow(TCP, "203.0.113.1:443", World): true,
		flow(UDP, "203.0.113.1:443", World): false,
		flow(TCP, "203.0.113.1:80", World):  false,
		flow(UDP, "203.0.113.2:443", World): true,
		flow(ICMP, "203.0.113.2:0", World):  false,
		flow(TCP, "203.0.113.3:443", World): false,
		flow(TCP, "203.0.113.4:443", World): false,
		flow(TCP, "10.1.2.3:443", LAN):      false, // a name does not open the LAN
		flow(ICMP, "198.51.100.9:0", World): true,
		flow(TCP, "198.51.100.9:1", World):  true,
		flow(TCP, "198.51.101.9:1", World):  false,
		flow(TCP, "192.168.7.1:80", LAN):    true,
		flow(TCP, "192.168.7.16:80", LAN):   false,
		flow(TCP, "192.168.7.1:81", LAN):    false,
		flow(UDP, "203.0.113.9:123", World): true,
		flow(UDP, "192.168.7.1:123", LAN):   false, // nor does a prefix that is more than the LAN
		flow(TCP, "127.0.0.1:22", Host):     true,  // HostAccess has spoken
	} {
		if got := l.Allow(f); got != want {
			t.Errorf("%v %v: %v, want %v", f.Protocol, f.To, got, want)
		}
	}
}

// TestAllowListTime has openings end: with the answer's time to live, within bounds.
func TestAllowListTime(t *testing.T) {
	c := clock.NewFake(time.Unix(1_800_000_000, 0))
	l := NewAllowList(c, []Rule{{Name: "*"}})
	open := func(i int) bool { return l.Allow(flow(TCP, fmt.Sprintf("203.0.113.%d:1", i), World)) }
	ttls := []time.Duration{0, 5 * time.Minute, 1 << 62}
	for i, ttl := range ttls {
		l.Resolved("a.", []Resolution{{netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), ttl}})
	}
	at := func(d time.Duration, want ...bool) {
		t.Helper()
		c.Advance(d)
		for i, w := range want {
			if open(i) != w {
				t.Errorf("at %v: answer with a TTL of %v is good: %v", c.Now(), ttls[i], !w)
			}
		}
	}
	at(0, true, true, true)
	at(59*time.Second, true, true, true)
	at(time.Second, false, true, true)
	at(4*time.Minute, false, false, true)
	l.Resolved("a.", []Resolution{{netip.MustParseAddr("203.0.113.2"), 0}}) // an answer does not shorten an earlier one
	at(23*time.Hour, false, false, true)
	at(time.Hour, false, false, false)
}

// TestAllowListBounded resolves more than there is room for.
func TestAllowListBounded(t *testing.T) {
	c := clock.NewFake(time.Unix(0, 0))
	l := NewAllowList(c, []Rule{{Name: "*"}, {Name: "*.example"}})
	for i := range 4 * maxOpenings {
		if i == 3*maxOpenings {
			c.Advance(2 * time.Hour) // all that is there is over
		}
		l.Resolved("a.example.", []Resolution{{netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}), time.Hour}})
		if len(l.opened) > maxOpenings {
			t.Fatalf("%d openings", len(l.opened))
		}
		if !l.Allow(Flow{TCP, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}), 1), World}) {
			t.Fatalf("address %d is not open right after its answer", i)
		}
	}
}

// answer packs records, each "OWNER TTL A ADDRESS" or "OWNER TTL CNAME NAME".
func answer(t testing.TB, records ...[4]string) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true}}
	for _, r := range records {
		var ttl uint32
		fmt.Sscan(r[1], &ttl)
		h := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(r[0]), TTL: ttl, Class: dnsmessage.ClassINET}
		var body dnsmessage.ResourceBody
		switch r[2] {
		case "A":
			body = &dnsmessage.AResource{A: netip.MustParseAddr(r[3]).As4()}
		case "AAAA":
			body = &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(r[3]).As16()}
		default:
			body = &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(r[3])}
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: body})
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestResolutions(t *testing.T) {
	for name, test := range map[string]struct {
		records [][4]string
		want    []string
	}{
		"plain":           {[][4]string{{"n0.example.", "300", "A", "203.0.113.1"}, {"N0.Example.", "20", "A", "203.0.113.2"}}, []string{"203.0.113.1 5m0s", "203.0.113.2 20s"}},
		"another name":    {[][4]string{{"evil.example.", "300", "A", "203.0.113.1"}}, nil},
		"alias":           {[][4]string{{"n0.example.", "60", "CNAME", "b.example."}, {"b.example.", "300", "A", "203.0.113.1"}}, []string{"203.0.113.1 1m0s"}},
		"alias backwards": {[][4]string{{"c.example.", "300", "A", "203.0.113.1"}, {"b.example.", "7", "CNAME", "c.example."}, {"n0.example.", "60", "CNAME", "b.example."}}, []string{"203.0.113.1 7s"}},
		"loop":            {[][4]string{{"n0.example.", "60", "CNAME", "b.example."}, {"b.example.", "7", "CNAME", "n0.example."}}, nil},
		"version 6":       {[][4]string{{"n0.example.", "60", "AAAA", "2001:db8::1"}}, nil},
		"nothing":         {},
	} {
		var got []string
		for _, r := range resolutions("n0.example.", answer(t, test.records...)) {
			got = append(got, fmt.Sprintf("%v %v", r.Addr, r.TTL))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func FuzzAllowList(f *testing.F) {
	f.Add("www.example.org.", answer(f, [4]string{"www.example.org.", "60", "A", "203.0.113.1"}))
	f.Add("x.example.net.", answer(f, [4]string{"x.example.net.", "1", "CNAME", "y."}, [4]string{"y.", "1", "A", "10.0.0.1"}))
	f.Fuzz(func(t *testing.T, name string, message []byte) {
		l := NewAllowList(nil, []Rule{{Name: "www.example.org"}, {Name: "*.example.net"}})
		found := resolutions(name, message)
		l.Resolved(name, found)
		for _, r := range found {
			to := netip.AddrPortFrom(r.Addr, 443)
			if l.Allow(Flow{TCP, to, World}) != l.AllowName(name) {
				t.Errorf("%q gave %v", name, to)
			}
			if l.Allow(Flow{TCP, to, LAN}) {
				t.Errorf("%q opened %v of the LAN", name, to)
			}
		}
	})
}
