// Package shared reads and writes words of memory that a running guest, or another goroutine that plays the guest, changes at the
// same moment. It is the only place where devices turn guest RAM into pointers.
//
// Everything goes through sync/atomic, whose operations are sequentially consistent (Go memory model): a Load is an acquire, a
// Store a release followed by a full barrier. On amd64 a Load is a plain MOV and a Store a locked instruction, which
// is the StoreLoad barrier that virtio needs between publishing an index and looking at the other side's (virtio
// 1.2, sections 2.7.7.1, 2.7.10, 2.7.13.4.1). The guest obeys x86's own ordering.
//
// Go has no 16-bit atomics, so a 16-bit field is read and written within the aligned 32-bit word around it. Guest RAM begins and ends
// on page boundaries, so that word is RAM too.
package shared

import (
	"sync/atomic"
	"unsafe"
)

// Aligned says whether the address of p's first byte in this process is a multiple of align, a power of two.
func Aligned(p []byte, align uintptr) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(p)))&(align-1) == 0
}

// word returns the aligned 32-bit word around p[off], p[off+1], and the field's bit position in it.
func word(p []byte, off int) (*uint32, uint) {
	at := unsafe.Pointer(&p[off : off+2 : len(p)][0])
	low := uintptr(at) & 2
	return (*uint32)(unsafe.Add(at, -int(low))), uint(low) * 8
}

// Load16 reads the 16-bit field at p[off], which lies at an even address.
func Load16(p []byte, off int) uint16 {
	w, shift := word(p, off)
	return uint16(atomic.LoadUint32(w) >> shift)
}

// Store16 writes the 16-bit field at p[off], which lies at an even address, and leaves its neighbours as they are. Full barrier.
func Store16(p []byte, off int, v uint16) {
	w, shift := word(p, off)
	for {
		old := atomic.LoadUint32(w)
		if atomic.CompareAndSwapUint32(w, old, old&^(0xffff<<shift)|uint32(v)<<shift) {
			return
		}
	}
}

// Load32 reads the 32-bit field at p[off], whose address is a multiple of 4.
func Load32(p []byte, off int) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&p[off : off+4][0])))
}

// Store32 writes the 32-bit field at p[off], whose address is a multiple of 4. Full barrier.
func Store32(p []byte, off int, v uint32) {
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&p[off : off+4][0])), v)
}

// Load64 reads the 64-bit field at p[off], whose address is a multiple of 8.
func Load64(p []byte, off int) uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&p[off : off+8][0])))
}

// Store64 writes the 64-bit field at p[off], whose address is a multiple of 8. Full barrier.
func Store64(p []byte, off int, v uint64) {
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&p[off : off+8][0])), v)
}
