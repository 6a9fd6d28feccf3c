package machine

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/machine/sandbox"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/network/usernet"
	"golang.org/x/net/dns/dnsmessage"
)

// TestHostOnlyAsksNoNames asks for a name from a host-only network: DNS is a way out like any other.
func TestHostOnlyAsksNoNames(t *testing.T) {
	nic := config.NIC{Connection: config.ConnHostOnly, Connected: true}
	l, err := openLink(sandbox.NewFile(usernet.ResolvConf), &nic, nil, func(string) {}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	g := linktest.NewGuest(t, l, linktest.GuestConfig{})
	if _, err := g.DHCP("guest"); err != nil {
		t.Fatal(err)
	}
	question := dnsmessage.Message{
		Header: dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{
			Name: dnsmessage.MustNewName("secret.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET,
		}},
	}
	query, err := question.Pack()
	if err != nil {
		t.Fatal(err)
	}
	c, err := g.DialUDP(netip.MustParseAddrPort("10.0.2.3:53"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(query); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 512)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	var answer dnsmessage.Message
	if err := answer.Unpack(buf[:n]); err != nil || answer.RCode != dnsmessage.RCodeRefused {
		t.Errorf("the answer is %v, %v; want it refused", answer.RCode, err)
	}
	if s := l.(*usernet.Network).Stats(); s.Refused[usernet.RefusedName] != 1 {
		t.Errorf("%d refusals of a name, want 1", s.Refused[usernet.RefusedName])
	}
}

// TestLeftOut has a machine with a card that there is no model of: it has the others.
func TestLeftOut(t *testing.T) {
	s := newStand(t, pcBoard+"ethernet3.present = TRUE\nethernet3.connectionType = nat\nethernet3.virtualDev = vlance\n")
	if err := s.restore(t, s.devices); err != nil {
		t.Error(err)
	}
}
