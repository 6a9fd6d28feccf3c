package nic

import "sync/atomic"

type stats struct {
	sent, sendDropped, receiveDropped atomic.Uint64
}

// Stats counts what passed a port, or did not, since it was made.
type Stats struct {
	Sent           uint64 // frames given to the link
	SendDropped    uint64 // frames of the guest that could not be frames, or had no carrier
	ReceiveDropped uint64 // frames of the link that could not be frames, or had no carrier
}

// Stats returns the counts so far.
func (p *Port) Stats() Stats {
	return Stats{p.stats.sent.Load(), p.stats.sendDropped.Load(), p.stats.receiveDropped.Load()}
}
