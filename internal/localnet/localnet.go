// Package localnet knows the IPv4 addresses that stay near the host: those that mean something only on its own link, in its site or
// in its provider's network, and never on the Internet (RFC 6890).
package localnet

import "net/netip"

// blocks are the ranges, with what they are for.
var blocks = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),     // private (RFC 1918)
	netip.MustParsePrefix("172.16.0.0/12"),  // private
	netip.MustParsePrefix("192.168.0.0/16"), // private
	netip.MustParsePrefix("100.64.0.0/10"),  // shared with a provider (RFC 6598)
	netip.MustParsePrefix("169.254.0.0/16"), // link-local (RFC 3927), metadata services of clouds among them
	netip.MustParsePrefix("192.0.0.0/24"),   // protocol assignments (RFC 6890)
	netip.MustParsePrefix("198.18.0.0/15"),  // benchmarks of devices (RFC 2544)
}

// Contains says whether an address is a local one.
func Contains(a netip.Addr) bool {
	for _, b := range blocks {
		if b.Contains(a) {
			return true
		}
	}
	return false
}

// Within says whether every address of a prefix is a local one.
func Within(p netip.Prefix) bool {
	for _, b := range blocks {
		if p.Bits() >= b.Bits() && b.Contains(p.Addr()) {
			return true
		}
	}
	return false
}
