package kvm

// UserspaceMemoryRegion is struct kvm_userspace_memory_region.
type UserspaceMemoryRegion struct {
	Slot          uint32
	Flags         uint32
	GuestPhysAddr uint64
	MemorySize    uint64
	UserspaceAddr uint64
}

// Flags of a memory region.
const (
	MemLogDirtyPages = 1 << 0
	MemReadonly      = 1 << 1
)

// dirtyLog is struct kvm_dirty_log; the pointer to the bitmap is set where it is used.
type dirtyLog struct {
	slot   uint32
	_      uint32
	bitmap uint64
}

// Regs is struct kvm_regs.
type Regs struct {
	RAX, RBX, RCX, RDX uint64
	RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11   uint64
	R12, R13, R14, R15 uint64
	RIP, RFLAGS        uint64
}

// Segment is struct kvm_segment.
type Segment struct {
	Base     uint64
	Limit    uint32
	Selector uint16
	Type     uint8
	Present  uint8
	DPL      uint8
	DB       uint8
	S        uint8
	L        uint8
	G        uint8
	AVL      uint8
	Unusable uint8
	_        uint8
}

// DTable is struct kvm_dtable: a descriptor table register.
type DTable struct {
	Base  uint64
	Limit uint16
	_     [3]uint16
}

// Sregs is struct kvm_sregs.
type Sregs struct {
	CS, DS, ES, FS, GS, SS  Segment
	TR, LDT                 Segment
	GDT, IDT                DTable
	CR0, CR2, CR3, CR4, CR8 uint64
	EFER                    uint64
	APICBase                uint64
	InterruptBitmap         [4]uint64
}

// FPU is struct kvm_fpu.
type FPU struct {
	FPR        [8][16]byte
	FCW        uint16
	FSW        uint16
	FTWX       uint8
	_          uint8
	LastOpcode uint16
	LastIP     uint64
	LastDP     uint64
	XMM        [16][16]byte
	MXCSR      uint32
	_          uint32
}

// LAPIC is struct kvm_lapic_state: the local APIC's register page.
type LAPIC struct{ Regs [1024]byte }

// CPUIDEntry is struct kvm_cpuid_entry2.
type CPUIDEntry struct {
	Function uint32
	Index    uint32
	Flags    uint32
	EAX      uint32
	EBX      uint32
	ECX      uint32
	EDX      uint32
	_        [3]uint32
}

// CPUIDSignificantIndex in Flags says that Index counts.
const CPUIDSignificantIndex = 1

// maxCPUIDEntries is KVM's own bound (KVM_MAX_CPUID_ENTRIES).
const maxCPUIDEntries = 256

type cpuid2 struct {
	n       uint32
	_       uint32
	entries [maxCPUIDEntries]CPUIDEntry
}

// MSREntry is struct kvm_msr_entry.
type MSREntry struct {
	Index uint32
	_     uint32
	Data  uint64
}

const maxMSRs = 64

type msrs struct {
	n       uint32
	_       uint32
	entries [maxMSRs]MSREntry
}

type irqLevel struct {
	GSI   uint32
	Level uint32
}

// Kinds of an IRQRoute.
const (
	RouteIRQChip = 1
	RouteMSI     = 2
)

// In-kernel interrupt controllers that an IRQRoute of kind RouteIRQChip names.
const (
	PICMaster = 0
	PICSlave  = 1
	IOAPIC    = 2
)

// IRQRoute is struct kvm_irq_routing_entry. U holds, for RouteIRQChip, the chip and the pin; for RouteMSI the address's low and
// high half, the data, and the device id.
type IRQRoute struct {
	GSI   uint32
	Type  uint32
	Flags uint32
	_     uint32
	U     [8]uint32
}

// maxRoutes bounds a routing table; KVM itself takes 4096.
const maxRoutes = 1024

// translation is struct kvm_translation.
type translation struct {
	linear   uint64
	physical uint64
	valid    uint8
	_        [7]uint8 // writable, usermode, padding
}

type irqfd struct {
	fd    uint32
	gsi   uint32
	flags uint32
	_     [20]uint8 // resamplefd, padding
}

const irqfdDeassign = 1

type ioeventfd struct {
	datamatch uint64
	addr      uint64
	len       uint32
	fd        int32
	flags     uint32
	_         [36]uint8
}

const (
	ioeventfdDatamatch = 1 << 0
	ioeventfdPIO       = 1 << 1
	ioeventfdDeassign  = 1 << 2
)

// coalescedZone is struct kvm_coalesced_mmio_zone.
type coalescedZone struct {
	addr uint64
	size uint32
	pio  uint32
}

type pitConfig struct {
	flags uint32
	_     [15]uint32
}

type enableCap struct {
	cap  uint32
	_    uint32 // flags
	args [4]uint64
	_    [64]uint8
}
