package usernet

import "sync/atomic"

// Stats are counts since New, and how much is open now.
type Stats struct {
	FromGuestFrames, FromGuestBytes uint64
	FromGuestMalformed              uint64 // frames dropped: header, checksum, length, addresses that are not the guest's
	ToGuestFrames, ToGuestBytes     uint64
	ToGuestDropped                  uint64 // the guest did not take frames, or its buffers were too small

	TCPOpen, UDPOpen   int    // flows now, both ways
	TCPTotal, UDPTotal uint64 // flows so far
	RefusedPolicy      uint64 // flows that the Policy refused
	RefusedHost        uint64 // flows to the host or to what only the host may reach
	RefusedLimit       uint64 // flows beyond MaxTCP and MaxUDP, and DNS questions beyond what may be in flight
	Unreachable        uint64 // flows that the outside did not take

	DNSQueries, DNSFailures uint64
	Leases                  uint64 // DHCP requests acknowledged
}

// counters are the parts of Stats that are counted as they happen.
type counters struct {
	fromGuestFrames, fromGuestBytes, fromGuestMalformed atomic.Uint64
	toGuestFrames, toGuestBytes, toGuestDropped         atomic.Uint64
	tcpTotal, udpTotal                                  atomic.Uint64
	refusedPolicy, refusedHost, refusedLimit            atomic.Uint64
	unreachable                                         atomic.Uint64
	dnsQueries, dnsFailures, leases                     atomic.Uint64
}

// Stats returns the counts of now. It may be called at any time, also after Close.
func (n *Network) Stats() Stats {
	c := &n.stats
	return Stats{
		FromGuestFrames: c.fromGuestFrames.Load(), FromGuestBytes: c.fromGuestBytes.Load(),
		FromGuestMalformed: c.fromGuestMalformed.Load(),
		ToGuestFrames:      c.toGuestFrames.Load(), ToGuestBytes: c.toGuestBytes.Load(),
		ToGuestDropped: c.toGuestDropped.Load(),
		TCPOpen:        int(n.tcp.open.Load()), UDPOpen: n.udp.open(),
		TCPTotal: c.tcpTotal.Load(), UDPTotal: c.udpTotal.Load(),
		RefusedPolicy: c.refusedPolicy.Load(), RefusedHost: c.refusedHost.Load(), RefusedLimit: c.refusedLimit.Load(),
		Unreachable: c.unreachable.Load(),
		DNSQueries:  c.dnsQueries.Load(), DNSFailures: c.dnsFailures.Load(),
		Leases: c.leases.Load(),
	}
}
