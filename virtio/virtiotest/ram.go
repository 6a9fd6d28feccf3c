package virtiotest

import (
	"math/bits"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/vmm/memory"
)

// newRAM returns RAM whose pages cost nothing before they are touched, so that a fuzz target may have fresh RAM each time.
func newRAM(t testing.TB) *memory.Guest {
	t.Helper()
	host, err := unix.Mmap(-1, 0, RAMSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(host); err != nil {
			t.Error(err)
		}
	})
	ram, err := memory.FromRegions(memory.Region{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	return ram
}

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
