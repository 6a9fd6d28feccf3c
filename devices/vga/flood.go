package vga

import (
	"math/bits"

	"github.com/sharevm/vmm/display"
)

// flood is a guest that draws everything anew for each look, as a video does. Each page that the log is to tell of costs such a guest a fault in the hypervisor, which
// for 2000 pages 60 times a second is more than copying them would be. While it lasts most looks therefore take for granted that everything has changed, and the
// log is asked only now and then.
type flood struct {
	full  int  // looks in a row at which the log said so
	rest  int  // looks that take it for granted
	stale bool // the log is of more than one look
}

const (
	// minFlood is how many pages a picture has for which this is worth the while.
	minFlood = 512
	// maxRest bounds the looks in a row that do not ask, and by it how long a picture that has come to rest is still taken for one that changes.
	maxRest = 8
)

// assume says whether this look does without the log.
func (f *flood) assume() bool {
	if f.rest == 0 {
		return false
	}
	f.rest--
	f.stale = true
	return true
}

// note judges what the log has said of a picture.
func (f *flood) note(dirty []uint64, g *display.Geometry) {
	if f.stale {
		f.stale = false // the next look is the one that tells
		return
	}
	first, last := g.Offset/pageSize, (g.Offset+g.Stride*g.Height-1)/pageSize
	if n := last - first + 1; n < minFlood || countBits(dirty, first, min(last+1, 64*len(dirty))) < n-n/8 {
		*f = flood{}
		return
	}
	f.full++
	if f.full > 1 {
		f.rest = min(1<<min(f.full-2, 30), maxRest)
	}
}

// countBits counts the bits that are set at from and after, before end.
func countBits(bitmap []uint64, from, end int) (n int) {
	for i := from; i < end; {
		w := bitmap[i/64] >> (i % 64)
		k := min(64-i%64, end-i)
		if k < 64 {
			w &= 1<<k - 1
		}
		n += bits.OnesCount64(w)
		i += k
	}
	return n
}
