package blk

import "github.com/sharevm/vmm/internal/throttle"

// gate is what a request has to pass before it begins, nil if nothing.
func (d *Device) gate(r *request) *throttle.Gate {
	switch r.kind {
	case typeIn:
		return d.reads
	case typeOut, typeFlush, typeDiscard, typeWriteZeroes:
		return d.writes
	}
	return nil
}

// cost is how many bytes a request moves or has moved. Zeroes may have to be written out; what is discarded costs nothing.
func (r *request) cost() int64 {
	switch r.kind {
	case typeIn, typeOut:
		return int64(r.length)
	case typeWriteZeroes:
		var n int64
		for _, z := range r.ranges[:r.count] {
			n += z.length
		}
		return n
	}
	return 0
}

// pass says whether a request may begin, and charges for it if so. If not, the lane is woken when it is time to look again.
func (l *lane) pass(r *request) bool {
	g := l.dev.gate(r)
	if g == nil || r.result != statusOK {
		return true
	}
	if !l.waiter.Pass(g) {
		return false
	}
	g.Pay(1, r.cost())
	return true
}
