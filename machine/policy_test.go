package machine

import (
	"net/netip"
	"testing"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/network/usernet"
)

// TestPolicyOf has each kind of network let through what it should.
func TestPolicyOf(t *testing.T) {
	rule := func(s string) config.NetRule {
		r, err := config.ParseNetRule(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	flow := func(proto usernet.Protocol, to string, region usernet.Region) usernet.Flow {
		return usernet.Flow{Protocol: proto, To: netip.MustParseAddrPort(to), Region: region}
	}
	world, lan, host := flow(usernet.TCP, "198.51.100.7:443", usernet.World), flow(usernet.TCP, "192.168.1.1:443", usernet.LAN), flow(usernet.TCP, "10.0.2.2:22", usernet.Host)
	for name, test := range map[string]struct {
		nic              config.NIC
		world, lan, host bool
	}{
		"plain":      {config.NIC{Connection: config.ConnUser}, true, false, true},
		"LAN":        {config.NIC{Connection: config.ConnUser, LAN: true}, true, true, true},
		"host-only":  {config.NIC{Connection: config.ConnHostOnly}, false, false, true},
		"list":       {config.NIC{Connection: config.ConnUser, Allow: []config.NetRule{rule("198.51.100.0/24:443/tcp")}}, true, false, true},
		"another":    {config.NIC{Connection: config.ConnUser, Allow: []config.NetRule{rule("198.51.100.0/24:443/udp"), rule("example.org")}}, false, false, true},
		"LAN listed": {config.NIC{Connection: config.ConnUser, Allow: []config.NetRule{rule("192.168.1.0/24")}}, false, true, true},
	} {
		p := policyOf(&test.nic)
		if got := []bool{p.Allow(world), p.Allow(lan), p.Allow(host)}; got[0] != test.world || got[1] != test.lan || got[2] != test.host {
			t.Errorf("%s: world %v, LAN %v, host %v", name, got[0], got[1], got[2])
		}
	}
}
