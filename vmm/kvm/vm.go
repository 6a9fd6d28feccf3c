package kvm

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// VM is a virtual machine's file descriptor. Its methods may be called from any goroutine.
type VM struct {
	fd      int
	runSize int // bytes of a vCPU's shared area
}

// Close closes the descriptor. The kernel frees the machine when its vCPUs are closed too.
func (v *VM) Close() error { return unix.Close(v.fd) }

// SetMemoryRegion adds, changes or (size zero) removes a memory slot (KVM_SET_USER_MEMORY_REGION).
func (v *VM) SetMemoryRegion(r UserspaceMemoryRegion) error {
	if _, err := callPtr(v.fd, set[UserspaceMemoryRegion](0x46), &r); err != nil {
		return fmt.Errorf("KVM_SET_USER_MEMORY_REGION slot %d at %#x+%#x: %w", r.Slot, r.GuestPhysAddr, r.MemorySize, err)
	}
	return nil
}

// SetTSSAddr gives KVM three pages of guest-physical space for real mode on Intel (KVM_SET_TSS_ADDR).
func (v *VM) SetTSSAddr(gpa uint64) error {
	if _, err := call(v.fd, ioc(dirNone, 0x47, 0), uintptr(gpa)); err != nil {
		return fmt.Errorf("KVM_SET_TSS_ADDR: %w", err)
	}
	return nil
}

// SetIdentityMapAddr gives KVM one page for the same purpose (KVM_SET_IDENTITY_MAP_ADDR).
func (v *VM) SetIdentityMapAddr(gpa uint64) error {
	if _, err := callPtr(v.fd, set[uint64](0x48), &gpa); err != nil {
		return fmt.Errorf("KVM_SET_IDENTITY_MAP_ADDR: %w", err)
	}
	return nil
}

// CreateIRQChip makes the in-kernel PICs, IOAPIC and local APICs (KVM_CREATE_IRQCHIP).
func (v *VM) CreateIRQChip() error {
	if _, err := call(v.fd, ioc(dirNone, 0x60, 0), 0); err != nil {
		return fmt.Errorf("KVM_CREATE_IRQCHIP: %w", err)
	}
	return nil
}

// CreatePIT makes the in-kernel 8254, with a dummy speaker port at 0x61 (KVM_CREATE_PIT2).
func (v *VM) CreatePIT() error {
	const speakerDummy = 1
	if _, err := callPtr(v.fd, set[pitConfig](0x77), &pitConfig{flags: speakerDummy}); err != nil {
		return fmt.Errorf("KVM_CREATE_PIT2: %w", err)
	}
	return nil
}

// SetIRQLine drives an input of the interrupt controllers (KVM_IRQ_LINE).
func (v *VM) SetIRQLine(gsi uint32, high bool) error {
	l := irqLevel{GSI: gsi}
	if high {
		l.Level = 1
	}
	if _, err := callPtr(v.fd, set[irqLevel](0x61), &l); err != nil {
		return fmt.Errorf("KVM_IRQ_LINE %d: %w", gsi, err)
	}
	return nil
}

// SetRouting replaces the whole table from GSIs to interrupt controller pins and messages (KVM_SET_GSI_ROUTING).
func (v *VM) SetRouting(routes []IRQRoute) error {
	if len(routes) > maxRoutes {
		return fmt.Errorf("KVM_SET_GSI_ROUTING: %d routes, at most %d", len(routes), maxRoutes)
	}
	if _, err := callPtr(v.fd, ioc(dirWrite, 0x6a, 8), encodeRouting(routes)); err != nil {
		return fmt.Errorf("KVM_SET_GSI_ROUTING with %d routes: %w", len(routes), err)
	}
	return nil
}

// AssignIRQFD makes writes to an eventfd raise a GSI (KVM_IRQFD).
func (v *VM) AssignIRQFD(fd int, gsi uint32) error { return v.irqfd(fd, gsi, 0) }

// DeassignIRQFD undoes AssignIRQFD.
func (v *VM) DeassignIRQFD(fd int, gsi uint32) error { return v.irqfd(fd, gsi, irqfdDeassign) }

func (v *VM) irqfd(fd int, gsi, flags uint32) error {
	if _, err := callPtr(v.fd, set[irqfd](0x76), &irqfd{fd: uint32(fd), gsi: gsi, flags: flags}); err != nil {
		return fmt.Errorf("KVM_IRQFD for GSI %d: %w", gsi, err)
	}
	return nil
}

// IOEventFD describes an address whose writes signal an eventfd (KVM_IOEVENTFD).
type IOEventFD struct {
	FD    int
	Addr  uint64
	Width int     // bytes; 0 for any
	Match *uint64 // nil for any value
	Port  bool    // an I/O port rather than an address
}

// AssignIOEventFD starts delivery.
func (v *VM) AssignIOEventFD(e IOEventFD) error { return v.ioeventfd(e, 0) }

// DeassignIOEventFD stops delivery; e must be as it was assigned.
func (v *VM) DeassignIOEventFD(e IOEventFD) error { return v.ioeventfd(e, ioeventfdDeassign) }

func (v *VM) ioeventfd(e IOEventFD, flags uint32) error {
	a := ioeventfd{addr: e.Addr, len: uint32(e.Width), fd: int32(e.FD), flags: flags}
	if e.Match != nil {
		a.datamatch = *e.Match
		a.flags |= ioeventfdDatamatch
	}
	if e.Port {
		a.flags |= ioeventfdPIO
	}
	if _, err := callPtr(v.fd, set[ioeventfd](0x79), &a); err != nil {
		return fmt.Errorf("KVM_IOEVENTFD at %#x: %w", e.Addr, err)
	}
	return nil
}

// Why accesses to MSRs exit: KVM does not know them (KVM_MSR_EXIT_REASON_UNKNOWN), or its filter does not allow them (KVM_MSR_EXIT_REASON_FILTER).
const (
	msrExitUnknown = 1 << 1
	msrExitFilter  = 1 << 2
)

// EnableUserMSR makes accesses to MSRs that KVM does not know, and those that WatchMSR names, exit to user space rather than fault
// (KVM_CAP_X86_USER_SPACE_MSR).
func (v *VM) EnableUserMSR() error {
	if _, err := callPtr(v.fd, set[enableCap](0xa3), &enableCap{cap: uint32(CapX86UserSpaceMSR), args: [4]uint64{msrExitUnknown | msrExitFilter}}); err != nil {
		return fmt.Errorf("KVM_ENABLE_CAP X86_USER_SPACE_MSR: %w", err)
	}
	return nil
}

// CoalescePorts has KVM collect stores to the ports [base, base+size) in the machine's ring instead of leaving the guest
// (KVM_REGISTER_COALESCED_MMIO). Whoever runs a vCPU must drain the ring after each exit.
func (v *VM) CoalescePorts(base uint16, size uint32) error {
	return v.coalesce(0x67, coalescedZone{addr: uint64(base), size: size, pio: 1})
}

// UncoalescePorts undoes CoalescePorts. What is in the ring stays there (KVM_UNREGISTER_COALESCED_MMIO).
func (v *VM) UncoalescePorts(base uint16, size uint32) error {
	return v.coalesce(0x68, coalescedZone{addr: uint64(base), size: size, pio: 1})
}

// CoalesceMMIO is CoalescePorts for the guest-physical addresses [base, base+size).
func (v *VM) CoalesceMMIO(base uint64, size uint32) error {
	return v.coalesce(0x67, coalescedZone{addr: base, size: size})
}

// UncoalesceMMIO undoes CoalesceMMIO, as UncoalescePorts does.
func (v *VM) UncoalesceMMIO(base uint64, size uint32) error {
	return v.coalesce(0x68, coalescedZone{addr: base, size: size})
}

func (v *VM) coalesce(request uintptr, z coalescedZone) error {
	if _, err := callPtr(v.fd, set[coalescedZone](request), &z); err != nil {
		return fmt.Errorf("KVM coalesced zone, request %#x, %#x+%#x: %w", request, z.addr, z.size, err)
	}
	return nil
}

// CreateVCPU makes a vCPU; id is its initial APIC id (KVM_CREATE_VCPU).
func (v *VM) CreateVCPU(id int) (*VCPU, error) {
	fd, err := call(v.fd, ioc(dirNone, 0x41, 0), uintptr(id))
	if err != nil {
		return nil, fmt.Errorf("KVM_CREATE_VCPU %d: %w", id, err)
	}
	area, err := unix.Mmap(fd, 0, v.runSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("map the run area of vCPU %d: %w", id, err)
	}
	return newVCPU(fd, area), nil
}
