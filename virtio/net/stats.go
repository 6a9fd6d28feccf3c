package net

import "sync/atomic"

// Stats counts frames and their bytes, headers of virtio excluded, since the card was made.
type Stats struct {
	RxFrames, RxBytes uint64 // delivered to the guest
	RxDropped         uint64 // not delivered: too short, or the cable was out
	TxFrames, TxBytes uint64 // handed to a link
	TxDropped         uint64 // not handed over: no possible frame, or the cable was out
}

type stats struct {
	rxFrames, rxBytes, rxDropped atomic.Uint64
	_                            [64]byte // receivers and transmitters run on different processors
	txFrames, txBytes, txDropped atomic.Uint64
}

// Stats returns the counters.
func (d *Device) Stats() Stats {
	s := &d.stats
	return Stats{
		RxFrames: s.rxFrames.Load(), RxBytes: s.rxBytes.Load(), RxDropped: s.rxDropped.Load(),
		TxFrames: s.txFrames.Load(), TxBytes: s.txBytes.Load(), TxDropped: s.txDropped.Load(),
	}
}
