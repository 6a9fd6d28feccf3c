package cpuid

import "github.com/sharevm/vmm/vmm/kvm"

// Leaves of a Hyper-V (Hypervisor Top Level Functional Specification, section 2.4).
const (
	hvVendor         = 0x40000000
	hvInterface      = 0x40000001
	hvVersion        = 0x40000002
	hvFeatures       = 0x40000003
	hvRecommended    = 0x40000004
	hvLimits         = 0x40000005
	hvHardware       = 0x40000006
	hypervisorLeaves = 0x40000100 // where they end
)

// Partition privileges in EAX of hvFeatures. A guest takes the interface for a Hyper-V only with those of hypercalls and the processor's index,
// whatever else there is; without them Windows does not look at the reference TSC page either.
const (
	hvRuntime      = 1 << 0
	hvTimeCounter  = 1 << 1 // HV_X64_MSR_TIME_REF_COUNT
	hvSynIC        = 1 << 2
	hvTimers       = 1 << 3
	hvAPIC         = 1 << 4
	hvHypercalls   = 1 << 5
	hvIndex        = 1 << 6
	hvReferenceTSC = 1 << 9
	hvFrequencies  = 1 << 11

	hvMandatory = hvHypercalls | hvIndex
	hvOffered   = hvMandatory | hvRuntime | hvTimeCounter | hvSynIC | hvTimers | hvAPIC | hvReferenceTSC | hvFrequencies
)

// Features in EDX of hvFeatures.
const (
	hvFrequencyMSRs = 1 << 8
	hvDirectTimers  = 1 << 19 // timers that interrupt without a message
)

// Recommendations in EAX of hvRecommended.
const (
	hvUseAPICMSRs = 1 << 3
	hvRelaxed     = 1 << 5 // no watchdogs: a vCPU may have to wait for its turn
	hvNoAutoEOI   = 1 << 9
)

const (
	// hvSpins is how often a guest tries a spin lock before it tells us: rarely, since nobody listens better than the host's scheduler.
	hvSpins = 0x1fff
	// hvBuild and hvRelease are the version that guests are told, that of Windows Server 2016: 10.0.14393.
	hvBuild, hvRelease = 14393, 10 << 16
	// hvMaxCPUs and hvMaxLogical are limits that we tell; the machine's own are tighter.
	hvMaxCPUs, hvMaxLogical = 240, 512
)

// HyperVNeeds says what supported lacks of what a guest needs to see a Hyper-V; empty if nothing.
func HyperVNeeds(supported []kvm.CPUIDEntry) string {
	switch f := leaf(supported, hvFeatures); {
	case f.EAX&hvHypercalls == 0:
		return "hypercalls"
	case f.EAX&hvIndex == 0:
		return "the virtual processor's index"
	}
	return ""
}

// hyperV are the leaves of a Hyper-V with what of it KVM supports.
func (p Policy) hyperV() []kvm.CPUIDEntry {
	features := leaf(p.HyperV, hvFeatures)
	privileges := features.EAX & hvOffered
	recommended := uint32(hvRelaxed)
	if privileges&hvAPIC != 0 {
		recommended |= hvUseAPICMSRs
	}
	if privileges&hvSynIC != 0 {
		recommended |= hvNoAutoEOI // with it KVM would have to do without the processor's own interrupt virtualisation
	}
	return []kvm.CPUIDEntry{
		{Function: hvVendor, EAX: hvHardware, EBX: 0x7263694d, ECX: 0x666f736f, EDX: 0x76482074}, // "Microsoft Hv"
		{Function: hvInterface, EAX: 0x31237648},                                                 // "Hv#1"
		{Function: hvVersion, EAX: hvBuild, EBX: hvRelease},
		{Function: hvFeatures, EAX: privileges, EDX: features.EDX & (hvFrequencyMSRs | hvDirectTimers)},
		{Function: hvRecommended, EAX: recommended, EBX: hvSpins},
		{Function: hvLimits, EAX: hvMaxCPUs, EBX: hvMaxLogical},
		{Function: hvHardware},
	}
}

func leaf(es []kvm.CPUIDEntry, function uint32) kvm.CPUIDEntry {
	for _, e := range es {
		if e.Function == function {
			return e
		}
	}
	return kvm.CPUIDEntry{}
}
