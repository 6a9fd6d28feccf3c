package vmm

import (
	"unsafe"

	"github.com/sharevm/vmm/vmm/kvm"
	"github.com/sharevm/vmm/vmm/memory"
)

// slot describes a piece of RAM to KVM.
func slot(n uint32, r memory.Region) kvm.UserspaceMemoryRegion {
	return kvm.UserspaceMemoryRegion{
		Slot:          n,
		GuestPhysAddr: r.Base,
		MemorySize:    uint64(len(r.Host)),
		UserspaceAddr: uint64(uintptr(unsafe.Pointer(&r.Host[0]))),
	}
}
