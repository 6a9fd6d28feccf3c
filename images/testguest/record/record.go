// Package record is the journal that a guest writes and a test looks for after it has killed the monitor.
package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
)

// Size of a record in bytes.
const Size = 4096

// step is odd, so that multiplying by it visits every slot of a power-of-two number of them once before any twice.
const step = 0x9E3779B97F4A7C15

// Slot is where record n goes, counted in records; slots must be a power of two. Records 1 to slots all have places of their own.
func Slot(seed, n, slots uint64) uint64 { return (n*step + seed) & (slots - 1) }

// Fill writes record n into p.
func Fill(p []byte, seed, n uint64) {
	clear(p)
	copy(p, "vmm journal record")
	binary.LittleEndian.PutUint64(p[32:], seed)
	binary.LittleEndian.PutUint64(p[40:], n)
	sum := sha256.Sum256(p[:64])
	for off := 64; off < len(p); off += len(sum) {
		copy(p[off:], sum[:])
	}
}

// Is says whether p is exactly record n.
func Is(p []byte, seed, n uint64) bool {
	want := make([]byte, len(p))
	Fill(want, seed, n)
	return bytes.Equal(p, want)
}
