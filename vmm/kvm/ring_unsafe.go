package kvm

import (
	"os"
	"sync/atomic"
	"unsafe"
)

// ringStores is KVM_COALESCED_MMIO_MAX: what fits into a page.
const ringStores = (4096 - 8) / 24

// Store is struct kvm_coalesced_mmio: a store that KVM has answered in the guest's stead.
type Store struct {
	Addr uint64
	Len  uint32
	Port uint32 // not zero for an I/O port
	Data [8]byte
}

// coalescedRing is struct kvm_coalesced_mmio_ring. The kernel moves last, the monitor first.
type coalescedRing struct {
	first, last uint32
	stores      [ringStores]Store
}

// Ring holds the stores that KVM has collected, oldest first. There is one for all vCPUs of a machine.
type Ring struct{ r *coalescedRing }

// Ring returns the machine's ring, seen through this vCPU's area: page is what KVM_CAP_COALESCED_MMIO says. It is valid until the vCPU
// is closed.
func (c *VCPU) Ring(page int) (Ring, bool) {
	at := page * os.Getpagesize()
	if page <= 0 || at+int(unsafe.Sizeof(coalescedRing{})) > len(c.area) {
		return Ring{}, false
	}
	return Ring{(*coalescedRing)(unsafe.Pointer(&c.area[at]))}, true
}

// Empty says whether nothing waits. It takes no lock.
func (r Ring) Empty() bool { return atomic.LoadUint32(&r.r.first) == atomic.LoadUint32(&r.r.last) }

// Oldest returns the oldest store, which stays in the ring until Done. Callers exclude each other.
func (r Ring) Oldest() Store { return r.r.stores[atomic.LoadUint32(&r.r.first)%ringStores] }

// Done removes the oldest store.
func (r Ring) Done() { atomic.StoreUint32(&r.r.first, (atomic.LoadUint32(&r.r.first)+1)%ringStores) }
