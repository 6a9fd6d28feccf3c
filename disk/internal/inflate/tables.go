package inflate

import (
	"math/bits"
)

const (
	maxBits  = 15 // of a code
	litBits  = 11 // of the first look into the table of literals and lengths
	distBits = 8  // and that of distances
	maxLit   = 286
	maxDist  = 30
	// litRoom and distRoom are the most entries that a complete code of so many symbols can need.
	litRoom  = 2342
	distRoom = 402
)

// entry says what bits stand for. From the lowest bit on: 8 bits how many bits the code and the extra bits behind it have together, 4 bits how many the
// code has, flags, 15 bits value, and the flag of a literal.
//
// A code that is longer than the first look leads to a subtable, at the value, for as many further bits as the code's length says.
type entry uint32

const (
	isLiteral entry = 1 << 31
	special   entry = 1 << 15 // one of the next two, or no code at all
	isEnd     entry = 1 << 14
	isSub     entry = 1 << 13
)

func (e entry) total() uint   { return uint(e & 63) } // it is at most 28
func (e entry) code() uint    { return uint(e >> 8 & 15) }
func (e entry) value() uint32 { return uint32(e >> 16 & 0x7fff) }

// Entries of symbols, without the lengths of their codes.
var (
	litSymbols  [288]entry
	distSymbols [32]entry
	// The codes of blocks that bring none.
	fixed Decoder
)

func init() {
	for s := range 256 {
		litSymbols[s] = isLiteral | entry(s)<<16
	}
	litSymbols[256] = special | isEnd
	base := 3
	for s := 257; s < 285; s++ {
		extra := max(0, (s-261)/4)
		litSymbols[s] = entry(base)<<16 | entry(extra)
		base += 1 << extra
	}
	litSymbols[285] = 258 << 16
	litSymbols[286], litSymbols[287] = special, special
	base = 1
	for s := range 30 {
		extra := max(0, s/2-1)
		distSymbols[s] = entry(base)<<16 | entry(extra)
		base += 1 << extra
	}
	distSymbols[30], distSymbols[31] = special, special

	var lengths [288]uint8
	for s := range lengths {
		switch {
		case s < 144:
			lengths[s] = 8
		case s < 256:
			lengths[s] = 9
		case s < 280:
			lengths[s] = 7
		default:
			lengths[s] = 8
		}
	}
	build(fixed.lit[:], litBits, lengths[:], litSymbols[:])
	for s := range 32 {
		lengths[s] = 5
	}
	build(fixed.dist[:], distBits, lengths[:32], distSymbols[:])
}

// build fills a table for the canonical code in which symbol s has lengths[s] bits, or none if that is 0. It returns false if there is no such code,
// or the code is incomplete. One of a single bit may be, and one without any symbol.
func build(table []entry, first uint, lengths []uint8, symbols []entry) bool {
	var count [maxBits + 1]int
	for _, n := range lengths {
		count[n]++
	}
	count[0] = 0
	var next [maxBits + 2]int // in sorted
	left, used := 1, 0
	for n := 1; n <= maxBits; n++ {
		left = left<<1 - count[n]
		if left < 0 {
			return false
		}
		next[n+1] = next[n] + count[n]
		used += count[n]
	}
	if left > 0 {
		if used > 1 || used == 1 && count[1] != 1 {
			return false
		}
		for i := range table[:1<<first] {
			table[i] = special
		}
	}
	var sorted [288]uint16
	for s, n := range lengths {
		if n > 0 {
			sorted[next[n]] = uint16(s)
			next[n]++
		}
	}
	code, k := 0, 0
	end := 1 << first // of the entries in use
	prefix, sub, subBits := -1, 0, uint(0)
	for n := uint(1); n <= maxBits; n++ {
		for c := range count[n] {
			e := symbols[sorted[k]]
			k++
			reversed := int(bits.Reverse16(uint16(code)) >> (16 - n))
			code++
			if n <= first {
				e += entry(n)<<8 | entry(n)
				for i := reversed; i < 1<<first; i += 1 << n {
					table[i] = e
				}
				continue
			}
			if p := reversed & (1<<first - 1); p != prefix {
				prefix, sub, subBits = p, end, n-first
				// As many bits as the longest code with this prefix has: codes come in the order of their lengths.
				for room := count[n] - c; room < 1<<subBits && first+subBits < maxBits; {
					subBits++
					room = room<<1 + count[first+subBits]
				}
				end += 1 << subBits
				table[p] = special | isSub | entry(sub)<<16 | entry(subBits)<<8 | entry(first)
			}
			e += entry(n-first)<<8 | entry(n-first)
			for i := reversed >> first; i < 1<<subBits; i += 1 << (n - first) {
				table[sub+i] = e
			}
		}
		code <<= 1
	}
	return true
}
