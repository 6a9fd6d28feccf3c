package nic

import "math/bits"

// HashKinds are what a driver wants to be hashed.
type HashKinds uint8

// The kinds: addresses only, or addresses and ports.
const (
	HashIPv4 HashKinds = 1 << iota
	HashTCPv4
	HashIPv6
	HashTCPv6
)

// HashKeySize is the length of the key of the hash in bytes.
const HashKeySize = 40

// Hash is the Toeplitz hash of receive side scaling over the best kind that is wanted and fits, and that kind; 0 where none does.
func (f *Frame) Hash(key *[HashKeySize]byte, want HashKinds) (hash uint32, kind HashKinds) {
	var input [36]byte // addresses and ports
	n := 0
	switch {
	case f.V4:
		n = copy(input[:], f.Bytes[f.Network+12:f.Network+20])
	case f.V6:
		n = copy(input[:], f.Bytes[f.Network+8:f.Network+40])
	}
	address, ports := HashIPv4, HashTCPv4
	if f.V6 {
		address, ports = HashIPv6, HashTCPv6
	}
	switch {
	case n == 0:
		return 0, 0
	case f.TCP && want&ports != 0:
		kind = ports
		n += copy(input[n:], f.Bytes[f.Transport:f.Transport+4])
	case want&address != 0:
		kind = address
	default:
		return 0, 0
	}
	return toeplitz(key, input[:n]), kind
}

// toeplitz combines, for each bit of data that is set, the 32 bits of the key that start at its place.
func toeplitz(key *[HashKeySize]byte, data []byte) (hash uint32) {
	window := uint64(key[0])<<56 | uint64(key[1])<<48 | uint64(key[2])<<40 | uint64(key[3])<<32
	for i, b := range data {
		window |= uint64(key[i+4]) << 24
		for v := b; v != 0; {
			at := bits.LeadingZeros8(v)
			hash ^= uint32(window << at >> 32)
			v &^= 0x80 >> at
		}
		window <<= 8
	}
	return hash
}
