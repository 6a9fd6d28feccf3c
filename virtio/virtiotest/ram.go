package virtiotest

import (
	"math/bits"
	"testing"
)

// heap hands out pieces of fake RAM in powers of two.
type heap struct {
	next, end uint64
	free      [64][]uint64
}

// alloc returns n bytes aligned to at least 16 and at most a page.
func (h *heap) alloc(t testing.TB, n int) uint64 {
	class := sizeClass(n)
	if list := h.free[class]; len(list) > 0 {
		h.free[class] = list[:len(list)-1]
		return list[len(list)-1]
	}
	size := uint64(1) << class
	align := min(size, 4096)
	at := (h.next + align - 1) &^ (align - 1)
	if at+size > h.end {
		t.Fatalf("virtiotest: out of fake RAM for %d bytes", n)
	}
	h.next = at + size
	return at
}

func (h *heap) release(at uint64, n int) {
	class := sizeClass(n)
	h.free[class] = append(h.free[class], at)
}

func sizeClass(n int) int { return bits.Len(uint(max(n, 16) - 1)) }
