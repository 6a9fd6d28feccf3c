package kvm

import (
	"testing"
	"unsafe"
)

// The sizes are those of <linux/kvm.h> on x86-64, printed by a C program.
func TestABISizes(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"kvm_userspace_memory_region", unsafe.Sizeof(UserspaceMemoryRegion{}), 32},
		{"kvm_regs", unsafe.Sizeof(Regs{}), 144},
		{"kvm_segment", unsafe.Sizeof(Segment{}), 24},
		{"kvm_dtable", unsafe.Sizeof(DTable{}), 16},
		{"kvm_sregs", unsafe.Sizeof(Sregs{}), 312},
		{"kvm_fpu", unsafe.Sizeof(FPU{}), 416},
		{"kvm_lapic_state", unsafe.Sizeof(LAPIC{}), 1024},
		{"kvm_cpuid_entry2", unsafe.Sizeof(CPUIDEntry{}), 40},
		{"kvm_cpuid2", unsafe.Offsetof(cpuid2{}.entries), 8},
		{"kvm_msr_entry", unsafe.Sizeof(MSREntry{}), 16},
		{"kvm_msrs", unsafe.Offsetof(msrs{}.entries), 8},
		{"kvm_irq_level", unsafe.Sizeof(irqLevel{}), 8},
		{"kvm_irq_routing_entry", unsafe.Sizeof(IRQRoute{}), 48},
		{"kvm_irqfd", unsafe.Sizeof(irqfd{}), 32},
		{"kvm_ioeventfd", unsafe.Sizeof(ioeventfd{}), 64},
		{"kvm_coalesced_mmio_zone", unsafe.Sizeof(coalescedZone{}), 16},
		{"kvm_coalesced_mmio", unsafe.Sizeof(Store{}), 24},
		{"kvm_coalesced_mmio_ring", unsafe.Offsetof(coalescedRing{}.stores), 8},
		{"kvm_coalesced_mmio_ring, all of it", min(unsafe.Sizeof(coalescedRing{}), 4096), unsafe.Sizeof(coalescedRing{})},
		{"kvm_pit_config", unsafe.Sizeof(pitConfig{}), 64},
		{"kvm_pit_state2", unsafe.Sizeof(PIT{}), 112},
		{"kvm_clock_data", unsafe.Sizeof(Clock{}), 48},
		{"kvm_irqchip", unsafe.Sizeof(IRQChip{}), 520},
		{"kvm_vcpu_events", unsafe.Sizeof(VCPUEvents{}), 64},
		{"kvm_debugregs", unsafe.Sizeof(DebugRegs{}), 128},
		{"kvm_xcrs", unsafe.Sizeof(XCRs{}), 392},
		{"kvm_enable_cap", unsafe.Sizeof(enableCap{}), 104},
		{"kvm_translation", unsafe.Sizeof(translation{}), 24},
		{"kvm_run.exit_reason", unsafe.Offsetof(runArea{}.exitReason), 8},
		{"kvm_run.cr8", unsafe.Offsetof(runArea{}.cr8), 16},
		{"kvm_run union", unsafe.Offsetof(runArea{}.exit), 32},
		{"kvm_run union size", unsafe.Sizeof(runArea{}.exit), 256},
		{"kvm_run.io", unsafe.Sizeof(IOExit{}), 16},
		{"kvm_run.mmio.is_write", unsafe.Offsetof(MMIOExit{}.IsWrite), 20},
		{"kvm_run.internal", unsafe.Sizeof(InternalErrorExit{}), 136},
		{"kvm_run.msr", unsafe.Sizeof(MSRExit{}), 24},
		{"kvm_run.hyperv", unsafe.Sizeof(HyperVExit{}), 40},
		{"kvm_run.system_event", unsafe.Sizeof(SystemEventExit{}), 136},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, the kernel has %d", c.name, c.got, c.want)
		}
	}
}

// The request numbers are those of <linux/kvm.h>.
func TestRequestNumbers(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"KVM_GET_API_VERSION", ioc(dirNone, 0x00, 0), 0xae00},
		{"KVM_GET_SUPPORTED_CPUID", ioc(dirRead|dirWrite, 0x05, 8), 0xc008ae05},
		{"KVM_GET_XCRS", get[XCRs](0xa6), 0x8188aea6},
		{"KVM_GET_VCPU_EVENTS", get[VCPUEvents](0x9f), 0x8040ae9f},
		{"KVM_SET_DEBUGREGS", set[DebugRegs](0xa2), 0x4080aea2},
		{"KVM_GET_IRQCHIP", getSet[IRQChip](0x62), 0xc208ae62},
		{"KVM_SET_IRQCHIP", get[IRQChip](0x63), 0x8208ae63},
		{"KVM_GET_PIT2", get[PIT](0x9f), 0x8070ae9f},
		{"KVM_SET_CLOCK", set[Clock](0x7b), 0x4030ae7b},
		{"KVM_SET_USER_MEMORY_REGION", set[UserspaceMemoryRegion](0x46), 0x4020ae46},
		{"KVM_SET_IDENTITY_MAP_ADDR", set[uint64](0x48), 0x4008ae48},
		{"KVM_IRQ_LINE", set[irqLevel](0x61), 0x4008ae61},
		{"KVM_SET_GSI_ROUTING", ioc(dirWrite, 0x6a, 8), 0x4008ae6a},
		{"KVM_REGISTER_COALESCED_MMIO", set[coalescedZone](0x67), 0x4010ae67},
		{"KVM_UNREGISTER_COALESCED_MMIO", set[coalescedZone](0x68), 0x4010ae68},
		{"KVM_IRQFD", set[irqfd](0x76), 0x4020ae76},
		{"KVM_CREATE_PIT2", set[pitConfig](0x77), 0x4040ae77},
		{"KVM_IOEVENTFD", set[ioeventfd](0x79), 0x4040ae79},
		{"KVM_GET_REGS", get[Regs](0x81), 0x8090ae81},
		{"KVM_SET_REGS", set[Regs](0x82), 0x4090ae82},
		{"KVM_GET_SREGS", get[Sregs](0x83), 0x8138ae83},
		{"KVM_SET_SREGS", set[Sregs](0x84), 0x4138ae84},
		{"KVM_TRANSLATE", getSet[translation](0x85), 0xc018ae85},
		{"KVM_SET_MSRS", ioc(dirWrite, 0x89, 8), 0x4008ae89},
		{"KVM_SET_FPU", set[FPU](0x8d), 0x41a0ae8d},
		{"KVM_GET_LAPIC", get[LAPIC](0x8e), 0x8400ae8e},
		{"KVM_SET_LAPIC", set[LAPIC](0x8f), 0x4400ae8f},
		{"KVM_SET_CPUID2", ioc(dirWrite, 0x90, 8), 0x4008ae90},
		{"KVM_ENABLE_CAP", set[enableCap](0xa3), 0x4068aea3},
	} {
		if c.got != c.want {
			t.Errorf("%s: %#x, the kernel has %#x", c.name, c.got, c.want)
		}
	}
}
