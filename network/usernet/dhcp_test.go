package usernet_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/network/usernet"
)

func TestDHCP(t *testing.T) {
	leases := make(chan usernet.Lease, 1)
	n := newNetwork(t, usernet.Config{
		Subnet:   netip.MustParsePrefix("192.168.7.0/24"),
		MTU:      9000,
		Hostname: "browser",
		OnLease:  func(l usernet.Lease) { leases <- l },
	})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{MTU: 9000})
	ack, err := g.DHCP("me")
	if err != nil {
		t.Fatal(err)
	}
	gateway := net.IPv4(192, 168, 7, 2)
	if !ack.YourIPAddr.Equal(net.IPv4(192, 168, 7, 15)) || !ack.ServerIdentifier().Equal(gateway) ||
		len(ack.Router()) != 1 || !ack.Router()[0].Equal(gateway) ||
		len(ack.DNS()) != 1 || !ack.DNS()[0].Equal(net.IPv4(192, 168, 7, 3)) ||
		ack.SubnetMask().String() != "ffffff00" || ack.HostName() != "browser" ||
		ack.IPAddressLeaseTime(0).Hours() != 24 || !ack.BroadcastAddress().Equal(net.IPv4(192, 168, 7, 255)) {
		t.Errorf("lease: %s", ack.Summary())
	}
	if mtu := ack.Options.Get(dhcpv4.OptionInterfaceMTU); string(mtu) != "\x23\x28" {
		t.Errorf("MTU option % x, want 9000", mtu)
	}
	select {
	case l := <-leases:
		if l.Addr.String() != "192.168.7.15/24" || l.MAC.String() != linktest.MAC.String() || l.Hostname != "me" {
			t.Errorf("OnLease got %+v", l)
		}
	default:
		t.Error("OnLease was not called for a lease that was given")
	}
	if s := n.Stats(); s.Leases != 1 {
		t.Errorf("%d leases counted, want 1", s.Leases)
	}
}

func TestDHCPMessages(t *testing.T) {
	option := func(o dhcpv4.Option) dhcpv4.Modifier { return dhcpv4.WithOption(o) }
	guest, other := net.IPv4(10, 0, 2, 15), net.IPv4(10, 0, 2, 99)
	for _, c := range []struct {
		name string
		kind dhcpv4.MessageType
		mods []dhcpv4.Modifier
		want dhcpv4.MessageType
		addr net.IP
	}{
		{"init-reboot", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{option(dhcpv4.OptRequestedIPAddress(guest))}, dhcpv4.MessageTypeAck, guest},
		{"renewing", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{dhcpv4.WithClientIP(guest)}, dhcpv4.MessageTypeAck, guest},
		{"another network's address", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{option(dhcpv4.OptRequestedIPAddress(other))}, dhcpv4.MessageTypeNak, nil},
		{"no address", dhcpv4.MessageTypeRequest, nil, dhcpv4.MessageTypeNak, nil},
		{"inform", dhcpv4.MessageTypeInform, []dhcpv4.Modifier{dhcpv4.WithClientIP(other)}, dhcpv4.MessageTypeAck, nil},
		{"discover by broadcast", dhcpv4.MessageTypeDiscover, []dhcpv4.Modifier{dhcpv4.WithBroadcast(true)}, dhcpv4.MessageTypeOffer, guest},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t, usernet.Config{})
			g := linktest.NewGuest(t, n, linktest.GuestConfig{})
			m, err := dhcpv4.New(append(c.mods, dhcpv4.WithMessageType(c.kind), dhcpv4.WithHwAddr(linktest.MAC))...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := g.AskDHCP(m)
			if err != nil {
				t.Fatal(err)
			}
			given := got.YourIPAddr
			if given.IsUnspecified() {
				given = nil
			}
			if got.MessageType() != c.want || !given.Equal(c.addr) {
				t.Errorf("%v with address %v, want %v with %v", got.MessageType(), given, c.want, c.addr)
			}
		})
	}
}

// Another server's client, and messages that tell and do not ask, get no answer: the next question's answer is the first.
func TestDHCPSilence(t *testing.T) {
	n := newNetwork(t, usernet.Config{})
	g := linktest.NewGuest(t, n, linktest.GuestConfig{})
	for _, mods := range [][]dhcpv4.Modifier{
		{dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 2, 77)))},
		{dhcpv4.WithMessageType(dhcpv4.MessageTypeRelease)},
		{dhcpv4.WithMessageType(dhcpv4.MessageTypeDecline)},
		{dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer)},
	} {
		m, err := dhcpv4.New(append(mods, dhcpv4.WithHwAddr(linktest.MAC))...)
		if err != nil {
			t.Fatal(err)
		}
		src, dst := netip.MustParseAddrPort("0.0.0.0:68"), netip.MustParseAddrPort("255.255.255.255:67")
		if err := g.Send(linktest.UDPFrame(net.HardwareAddr{255, 255, 255, 255, 255, 255}, src, dst, m.ToBytes())); err != nil {
			t.Fatal(err)
		}
	}
	if s := n.Stats(); s.FromGuestFrames != 4 || s.ToGuestFrames != 0 || s.ToGuestDropped != 0 || s.Leases != 0 {
		t.Errorf("%+v, want 4 frames taken and none answered", s)
	}
}
