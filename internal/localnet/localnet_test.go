package localnet

import (
	"net/netip"
	"testing"
)

func TestContains(t *testing.T) {
	for addr, want := range map[string]bool{
		"10.0.0.0": true, "10.255.255.255": true, "9.255.255.255": false, "11.0.0.0": false, "172.15.255.255": false, "172.16.0.0": true,
		"172.31.255.255": true, "172.32.0.0": false, "192.168.1.1": true, "192.169.0.0": false, "100.63.255.255": false, "100.64.0.0": true,
		"169.254.169.254": true, "198.17.255.255": false, "198.19.0.1": true, "192.0.0.8": true, "192.0.2.1": false, "8.8.8.8": false, "::1": false,
	} {
		if got := Contains(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

func TestWithin(t *testing.T) {
	for prefix, want := range map[string]bool{
		"10.0.0.0/8": true, "10.1.2.3/32": true, "10.0.0.0/7": false, "0.0.0.0/0": false, "192.168.0.0/16": true, "192.168.0.0/15": false, "192.0.2.0/24": false,
	} {
		if got := Within(netip.MustParsePrefix(prefix)); got != want {
			t.Errorf("%s: %v", prefix, got)
		}
	}
}
