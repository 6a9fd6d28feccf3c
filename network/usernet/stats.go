package usernet

import "sync/atomic"

// Stats are counts since New, and how much is open now.
type Stats struct {
	FromGuestFrames, FromGuestBytes uint64
	FromGuestMalformed              uint64 // frames dropped: header, checksum, length, addresses that are not the guest's
	FromGuestChecksum               uint64 // of those, the ones with a wrong checksum alone
	ToGuestFrames, ToGuestBytes     uint64
	ToGuestDropped                  uint64 // the guest did not take frames, or its buffers were too small

	TCPOpen, UDPOpen   int             // flows now, both ways
	TCPUnread          uint64          // bytes of the guest's that connections hold because the outside is slow
	TCPTotal, UDPTotal uint64          // flows so far
	Refused            [reasons]uint64 // flows and questions refused, by Reason
	Unreachable        uint64          // flows that the outside did not take

	DNSQueries, DNSFailures uint64
	Leases                  uint64 // DHCP requests acknowledged

	TFTPRequests, TFTPFailures uint64 // requests that have ended, and those that ended without the whole file
}

// counters are the parts of Stats that are counted as they happen.
type counters struct {
	fromGuestFrames, fromGuestBytes, fromGuestMalformed atomic.Uint64
	fromGuestChecksum                                   atomic.Uint64
	toGuestFrames, toGuestBytes, toGuestDropped         atomic.Uint64
	tcpTotal, udpTotal                                  atomic.Uint64
	refused                                             [reasons]atomic.Uint64
	unreachable                                         atomic.Uint64
	dnsQueries, dnsFailures, leases                     atomic.Uint64
	tftpRequests, tftpFailures                          atomic.Uint64
}

// Stats returns the counts of now. It may be called at any time, also after Close.
func (n *Network) Stats() Stats {
	c := &n.stats
	s := Stats{
		FromGuestFrames: c.fromGuestFrames.Load(), FromGuestBytes: c.fromGuestBytes.Load(),
		FromGuestMalformed: c.fromGuestMalformed.Load(), FromGuestChecksum: c.fromGuestChecksum.Load(),
		ToGuestFrames: c.toGuestFrames.Load(), ToGuestBytes: c.toGuestBytes.Load(),
		ToGuestDropped: c.toGuestDropped.Load(),
		TCPOpen:        int(n.tcp.open.Load()), UDPOpen: n.udp.open(),
		TCPUnread: n.budget.unread(),
		TCPTotal:  c.tcpTotal.Load(), UDPTotal: c.udpTotal.Load(),
		Unreachable: c.unreachable.Load(),
		DNSQueries:  c.dnsQueries.Load(), DNSFailures: c.dnsFailures.Load(),
		Leases:       c.leases.Load(),
		TFTPRequests: c.tftpRequests.Load(), TFTPFailures: c.tftpFailures.Load(),
	}
	for why := range s.Refused {
		s.Refused[why] = c.refused[why].Load()
	}
	return s
}
