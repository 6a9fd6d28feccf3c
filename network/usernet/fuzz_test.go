package usernet

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
)

// nothing refuses every flow, so that a fuzzed guest speaks to nobody.
type nothing struct{}

func (nothing) Allow(Flow) bool { return false }

// fuzzNetwork is a network without an outside, whose frames for the guest are read as they come.
func fuzzNetwork(f *testing.F) *Network {
	f.Helper()
	folder := f.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "file"), make([]byte, 10_000), 0o644); err != nil {
		f.Fatal(err)
	}
	n, err := New(Config{Policy: nothing{}, Resolvers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, Boot: Boot{Folder: folder, File: "file"}})
	if err != nil {
		f.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		bufs := [][]byte{make([]byte, network.MaxFrame)}
		for {
			if _, err := n.ReadFrame(bufs); err != nil {
				return
			}
		}
	}()
	f.Cleanup(func() {
		n.Close()
		<-ended
	})
	return n
}

// records joins frames, each behind its length, as FuzzGuest takes them.
func records(frames ...[]byte) []byte {
	var b []byte
	for _, f := range frames {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(f))), f...)
	}
	return b
}

// withHeader puts a virtio-net header in front of a frame.
func withHeader(h network.Header, frame []byte) []byte {
	b := make([]byte, network.HeaderLen, network.HeaderLen+len(frame))
	h.Encode(b)
	return append(b, frame...)
}

// seedFrames are frames of a guest that means well.
func seedFrames() [][]byte {
	gw := []byte{0x52, 0x55, 10, 0, 2, 2}
	broadcast := []byte{255, 255, 255, 255, 255, 255}
	arp := append(append(append([]byte{}, broadcast...), linktest.MAC...), "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01"...)
	arp = append(append(append(arp, linktest.MAC...), 10, 0, 2, 15), 0, 0, 0, 0, 0, 0, 10, 0, 2, 2)
	discover, _ := dhcpv4.NewDiscovery(linktest.MAC)
	query, _ := (&dnsmessage.Message{Questions: []dnsmessage.Question{{
		Name: dnsmessage.MustNewName("a.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET,
	}}}).Pack()
	guest := netip.MustParseAddr("10.0.2.15")
	// A SYN, by making UDP's frame TCP's: protocol 6, a header of 20 bytes, and open checksums.
	syn := linktest.UDPFrame(gw, netip.AddrPortFrom(guest, 1000), netip.MustParseAddrPort("192.0.2.1:80"), make([]byte, 12))
	syn[23], syn[46], syn[47], syn[48] = 6, 5<<4, 2, 0xff
	sum := 0
	for i := 14; i < 34; i += 2 {
		if i != 24 {
			sum += int(binary.BigEndian.Uint16(syn[i:]))
		}
	}
	binary.BigEndian.PutUint16(syn[24:], ^uint16(sum+sum>>16))
	return [][]byte{
		withHeader(network.Header{}, arp),
		withHeader(network.Header{}, linktest.UDPFrame(broadcast, netip.MustParseAddrPort("0.0.0.0:68"), netip.MustParseAddrPort("255.255.255.255:67"), discover.ToBytes())),
		withHeader(network.Header{}, linktest.UDPFrame(gw, netip.AddrPortFrom(guest, 5353), netip.MustParseAddrPort("10.0.2.3:53"), query)),
		withHeader(network.Header{}, linktest.UDPFrame(gw, netip.AddrPortFrom(guest, 9), netip.MustParseAddrPort("192.0.2.1:9"), []byte("x"))),
		withHeader(network.Header{}, linktest.UDPFrame(gw, netip.AddrPortFrom(guest, 2000), netip.MustParseAddrPort("10.0.2.2:69"), []byte("\x00\x01file\x00octet\x00blksize\x001024\x00"))),
		withHeader(network.Header{}, linktest.UDPFrame(gw, netip.AddrPortFrom(guest, 2000), netip.MustParseAddrPort("10.0.2.2:49152"), []byte{0, 4, 0, 0})),
		withHeader(network.Header{Flags: network.FlagNeedsChecksum, CsumStart: 34, CsumOffset: 16}, syn),
		withHeader(network.Header{Flags: network.FlagNeedsChecksum, GSOType: network.GSOTCPv4, GSOSize: 4, CsumStart: 34, CsumOffset: 16}, append(syn, "payload of a segment"...)),
	}
}

// FuzzGuest plays a guest that sends any frames with any headers, several in a row.
func FuzzGuest(f *testing.F) {
	frames := seedFrames()
	for _, frame := range frames {
		f.Add(records(frame))
	}
	f.Add(records(frames...))
	f.Add(records(nil, []byte{1}, make([]byte, network.HeaderLen), make([]byte, 200)))
	n := fuzzNetwork(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for len(data) >= 2 {
			size := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
			frame := data[2 : 2+size]
			data = data[2+size:]
			cut := size / 3
			if err := n.WriteFrame([][]byte{frame[:cut], frame[cut:]}); err != nil {
				t.Fatal(err)
			}
		}
		if s := n.Stats(); s.TCPOpen != 0 || s.UDPOpen != 0 {
			t.Fatalf("%+v: a flow that the policy refuses", s)
		}
	})
}

// The seeds are what they claim to be: frames that the network takes.
func TestSeedFrames(t *testing.T) {
	n, err := New(Config{Policy: nothing{}, Resolvers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for i, frame := range seedFrames() {
		if err := n.WriteFrame([][]byte{frame}); err != nil {
			t.Fatal(err)
		}
		if s := n.Stats(); s.FromGuestFrames != uint64(i+1) {
			t.Fatalf("seed %d is dropped: %+v", i, s)
		}
	}
}

func FuzzDHCP(f *testing.F) {
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform} {
		m, err := dhcpv4.New(dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(linktest.MAC),
			dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress([]byte{10, 0, 2, 15})), dhcpv4.WithOption(dhcpv4.OptHostName("guest")))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.ToBytes())
	}
	n := fuzzNetwork(f)
	f.Fuzz(func(_ *testing.T, payload []byte) { n.handleDHCP(payload) })
}

func FuzzDNS(f *testing.F) {
	name := dnsmessage.MustNewName("www.example.")
	question := dnsmessage.Question{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	m := dnsmessage.Message{Questions: []dnsmessage.Question{question}}
	query, _ := m.Pack()
	m.Response = true
	m.Answers = []dnsmessage.Resource{
		{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}},
		{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET}, Body: &dnsmessage.AAAAResource{}},
	}
	answer, _ := m.Pack()
	f.Add(query, answer)
	f.Add(query, query)
	f.Add(answer, answer)
	f.Fuzz(func(t *testing.T, query, answer []byte) {
		if answers(answer, query) && len(answer) < dnsHeader {
			t.Errorf("% x answers % x", answer, query)
		}
		for _, r := range resolutions("a.example.", answer) {
			if !r.Addr.Is4() {
				t.Fatalf("%v is an address of a name", r.Addr)
			}
		}
		q, err := parseQuery(query)
		if err != nil {
			return
		}
		if e := dnsError(query, q, dnsmessage.RCodeRefused); e == nil || !answers(e, query) {
			t.Errorf("% x is no refusal of % x", e, query)
		}
	})
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 192.0.2.1\nnameserver\tfe80::1%eth0\nnameserver x\nnameserver ::1\nnameserver 192.0.2.2\n")
	f.Add("search example.com\n#nameserver 192.0.2.1\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, a := range parseResolvConf(strings.NewReader(s)) {
			if !a.IsValid() || a.Port() != dnsPort {
				t.Errorf("%q: %v", s, a)
			}
		}
	})
}

func TestResolvConf(t *testing.T) {
	got := parseResolvConf(strings.NewReader("; c\nsearch a b\nnameserver 192.0.2.1\n nameserver  ::1 # x\nnameserver bad\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n"))
	want := []string{"192.0.2.1:53", "[::1]:53", "192.0.2.3:53"}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i].String() != want[i] {
			t.Errorf("%v, want %v", got, want)
		}
	}
}
