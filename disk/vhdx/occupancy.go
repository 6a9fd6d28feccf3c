package vhdx

import "math/bits"

// occupancy has a bit for each MiB of a file that is in use: all that a file consists of is aligned to as much.
type occupancy struct{ words []uint64 }

func newOccupancy(length int64) *occupancy { return &occupancy{make([]uint64, length/mib/64+1)} }

// take notes that [start, end) is in use, and says whether a part of it was before.
func (o *occupancy) take(start, end int64) (taken bool) {
	for n := start / mib; n < (end+mib-1)/mib; n++ {
		for n/64 >= int64(len(o.words)) {
			o.words = append(o.words, 0)
		}
		bit := uint64(1) << (n % 64)
		taken = taken || o.words[n/64]&bit != 0
		o.words[n/64] |= bit
	}
	return taken
}

// release notes that [start, end) is in use no more.
func (o *occupancy) release(start, end int64) {
	for n := start / mib; n < (end+mib-1)/mib && n/64 < int64(len(o.words)); n++ {
		o.words[n/64] &^= 1 << (n % 64)
	}
}

// has says whether the MiB at at is in use.
func (o *occupancy) has(at int64) bool {
	n := at / mib
	return n/64 < int64(len(o.words)) && o.words[n/64]&(1<<(n%64)) != 0
}

// used returns the first MiB in use at or after at, or -1.
func (o *occupancy) used(at int64) int64 {
	n := at / mib
	for k := n / 64; k < int64(len(o.words)); k++ {
		word := o.words[k]
		if k == n/64 {
			word &= ^uint64(0) << (n % 64)
		}
		if word != 0 {
			return (k*64 + int64(bits.TrailingZeros64(word))) * mib
		}
	}
	return -1
}

// unused returns the first MiB not in use at or after at.
func (o *occupancy) unused(at int64) int64 {
	n := at / mib
	for k := n / 64; k < int64(len(o.words)); k++ {
		word := ^o.words[k]
		if k == n/64 {
			word &= ^uint64(0) << (n % 64)
		}
		if word != 0 {
			return (k*64 + int64(bits.TrailingZeros64(word))) * mib
		}
	}
	return max(at, int64(len(o.words))*64*mib)
}

// hole returns the first stretch of size bytes not in use that lies in [from, to).
func (o *occupancy) hole(size, from, to int64) (at int64, ok bool) {
	for at = o.unused(from); at+size <= to; at = o.unused(at) {
		next := o.used(at)
		if next < 0 || next-at >= size {
			return at, true
		}
		at = next
	}
	return 0, false
}

// end is where the last MiB in use ends.
func (o *occupancy) end() int64 {
	for k := len(o.words) - 1; k >= 0; k-- {
		if w := o.words[k]; w != 0 {
			return (int64(k)*64 + int64(bits.Len64(w))) * mib
		}
	}
	return 0
}

// total is how much is in use.
func (o *occupancy) total() (n int64) {
	for _, w := range o.words {
		n += int64(bits.OnesCount64(w)) * mib
	}
	return n
}
