package vmdk

import "math/bits"

// slots tells which grain-sized pieces of a file are in use, by tables or by grains, in part or whole. Memory is taken only for
// stretches of the file with something in them: at most 64 MiB for the largest file in the smallest grains.
type slots struct {
	shift  uint // of a slot in bytes
	chunks map[int64]*[slotChunk / 64]uint64
	last   int64 // the last slot in use, or -1
	count  int64 // slots in use
}

// slotChunk is how many slots are kept together.
const slotChunk = 64 << 10

func newSlots(shift uint) *slots {
	return &slots{shift: shift, chunks: map[int64]*[slotChunk / 64]uint64{}, last: -1}
}

// used says whether slot n is in use.
func (s *slots) used(n int64) bool {
	c := s.chunks[n/slotChunk]
	return c != nil && c[n%slotChunk/64]>>(n%64)&1 != 0
}

// anyUsed says whether a slot of bytes [start, end) of the file is in use.
func (s *slots) anyUsed(start, end int64) bool {
	for n := start >> s.shift; n <= (end-1)>>s.shift; n++ {
		if s.used(n) {
			return true
		}
	}
	return false
}

// mark notes that bytes [start, end) of the file are in use.
func (s *slots) mark(start, end int64) {
	if start == end {
		return
	}
	for n := start >> s.shift; n <= (end-1)>>s.shift; n++ {
		c := s.chunks[n/slotChunk]
		if c == nil {
			c = new([slotChunk / 64]uint64)
			s.chunks[n/slotChunk] = c
		}
		if bit := uint64(1) << (n % 64); c[n%slotChunk/64]&bit == 0 {
			c[n%slotChunk/64] |= bit
			s.count++
		}
		s.last = max(s.last, n)
	}
}

// end is the file offset behind the last slot in use.
func (s *slots) end() int64 { return (s.last + 1) << s.shift }

// gap returns the file offset of n bytes in unused slots that follow each other below limit.
func (s *slots) gap(n, limit int64) (at int64, ok bool) {
	need := (n + 1<<s.shift - 1) >> s.shift
	first, next := int64(0), int64(-1)
	s.free(limit>>s.shift, func(slot int64) bool {
		if slot != next {
			first = slot
		}
		next = slot + 1
		ok = next-first >= need
		return !ok
	})
	return first << s.shift, ok
}

// free calls yield with the unused slots below limit in order until it returns false.
func (s *slots) free(limit int64, yield func(slot int64) bool) {
	for n := int64(0); n < limit; {
		word := uint64(0)
		if c := s.chunks[n/slotChunk]; c != nil {
			word = c[n%slotChunk/64]
		}
		base := n &^ 63
		for w := ^word >> (n % 64) << (n % 64); w != 0; w &= w - 1 {
			slot := base + int64(bits.TrailingZeros64(w))
			if slot >= limit || !yield(slot) {
				return
			}
		}
		n = base + 64
	}
}
