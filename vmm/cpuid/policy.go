package cpuid

import "github.com/sharevm/vmm/vmm/kvm"

// Policy is what a machine wants of its processors.
type Policy struct {
	Topology Topology
	// TSCDeadline says that KVM's local APIC has the TSC-deadline timer, which spares guests the calibration of the APIC timer. KVM
	// leaves the bit out of its supported set because it depends on the in-kernel APIC.
	TSCDeadline bool
	// Nested lets the guest run virtual machines of its own (vhv.enable).
	Nested bool
	// HyperV is what KVM supports of Hyper-V's interface. With it the guest sees a Hyper-V, and no KVM: systems take the interface that they
	// find last.
	HyperV []kvm.CPUIDEntry
	// Hide tells the guest that there is no hypervisor.
	Hide bool
}

// Bits that the policy touches.
const (
	leaf1MONITOR     = 1 << 3  // ECX
	leaf1VMX         = 1 << 5  // ECX
	leaf1PDCM        = 1 << 15 // ECX
	leaf1TSCDeadline = 1 << 24 // ECX
	leaf1Hypervisor  = 1 << 31 // ECX
	leaf1HTT         = 1 << 28 // EDX
	leaf7SGX         = 1 << 2  // EBX
	leaf7PT          = 1 << 25 // EBX
	ext1SVM          = 1 << 2  // ECX
	ext7InvariantTSC = 1 << 8  // EDX
	ext1PerfCore     = 1 << 23 // ECX
	ext1PerfNB       = 1 << 24 // ECX
)

// For returns the CPUID table of one vCPU out of what the host supports. It does not change supported.
func (p Policy) For(supported []kvm.CPUIDEntry, cpu int) []kvm.CPUIDEntry {
	out := make([]kvm.CPUIDEntry, 0, len(supported)+4)
	topology := false
	if p.HyperV != nil && !p.Hide {
		out = append(out, p.hyperV()...)
	}
	for _, e := range supported {
		if (p.HyperV != nil || p.Hide) && e.Function >= hvVendor && e.Function < hypervisorLeaves {
			continue
		}
		switch e.Function {
		case 0x0A: // performance monitoring: its counters are the host's
			e.EAX, e.EBX, e.ECX, e.EDX = 0, 0, 0, 0
		case 0x05: // MONITOR/MWAIT
			e.EAX, e.EBX, e.ECX, e.EDX = 0, 0, 0, 0
		case 0x06: // of power management only the always-running APIC timer
			e.EAX, e.EBX, e.ECX, e.EDX = e.EAX&(1<<2), 0, 0, 0
		case 0x12, 0x14, 0x15, 0x16, 0x1F, 0x80000022: // SGX, processor trace, the host's clock crystal, v2 topology, PMU v2
			continue
		case 0x0B:
			if !topology {
				out = append(out, p.topologyLeaves(cpu)...)
				topology = true
			}
			continue
		case 0x01:
			p.leaf1(&e, cpu)
		case 0x04:
			p.intelCache(&e)
		case 0x07:
			if e.Index == 0 {
				e.EBX &^= leaf7SGX | leaf7PT
			}
		case 0x80000001:
			e.ECX &^= ext1PerfCore | ext1PerfNB
			if !p.Nested {
				e.ECX &^= ext1SVM
			}
		case 0x80000007: // a saved machine may wake on a host whose clock runs at another rate
			e.EDX &^= ext7InvariantTSC
		case 0x80000008:
			if e.ECX != 0 || isAMD(supported) {
				e.ECX = uint32(p.Topology.coreBits())<<12 | uint32(p.Topology.CoresPerSocket-1)
			}
		case 0x8000000A:
			if !p.Nested {
				e.EAX, e.EBX, e.ECX, e.EDX = 0, 0, 0, 0
			}
		case 0x8000001D:
			p.amdCache(&e)
		case 0x8000001E:
			e.EAX = uint32(p.Topology.APICID(cpu))
			e.EBX = uint32(cpu % p.Topology.CoresPerSocket) // one thread to a core
			e.ECX = 0                                       // one node
		}
		out = append(out, e)
	}
	return out
}

func (p Policy) leaf1(e *kvm.CPUIDEntry, cpu int) {
	logical := uint32(1) << p.Topology.coreBits()
	e.EBX = e.EBX&0xffff | logical<<16 | uint32(p.Topology.APICID(cpu))<<24
	e.EDX &^= leaf1HTT
	if logical > 1 {
		e.EDX |= leaf1HTT
	}
	e.ECX &^= leaf1MONITOR | leaf1PDCM
	e.ECX &^= leaf1Hypervisor
	if !p.Hide {
		e.ECX |= leaf1Hypervisor
	}
	if p.TSCDeadline {
		e.ECX |= leaf1TSCDeadline
	}
	if !p.Nested {
		e.ECX &^= leaf1VMX
	}
}

// intelCache says who shares each cache: first and second level belong to a core, the third to the package.
func (p Policy) intelCache(e *kvm.CPUIDEntry) {
	level := e.EAX >> 5 & 7
	if e.EAX&0x1f == 0 {
		return
	}
	e.EAX = e.EAX&0x3fff | p.sharing(level)<<14 | (uint32(1)<<p.Topology.coreBits()-1)<<26
}

func (p Policy) amdCache(e *kvm.CPUIDEntry) {
	if e.EAX&0x1f == 0 {
		return
	}
	e.EAX = e.EAX&0x3fff | p.sharing(e.EAX>>5&7)<<14
}

func (p Policy) sharing(level uint32) uint32 {
	if level < 3 {
		return 0
	}
	return uint32(1)<<p.Topology.coreBits() - 1
}

// topologyLeaves are the subleaves of leaf 0x0B: thread, core, end.
func (p Policy) topologyLeaves(cpu int) []kvm.CPUIDEntry {
	const thread, core = 1 << 8, 2 << 8
	id := uint32(p.Topology.APICID(cpu))
	return []kvm.CPUIDEntry{
		{Function: 0x0B, Index: 0, Flags: kvm.CPUIDSignificantIndex, EAX: 0, EBX: 1, ECX: 0 | thread, EDX: id},
		{Function: 0x0B, Index: 1, Flags: kvm.CPUIDSignificantIndex, EAX: uint32(p.Topology.coreBits()), EBX: uint32(p.Topology.CoresPerSocket), ECX: 1 | core, EDX: id},
		{Function: 0x0B, Index: 2, Flags: kvm.CPUIDSignificantIndex, ECX: 2, EDX: id},
	}
}

func isAMD(es []kvm.CPUIDEntry) bool {
	for _, e := range es {
		if e.Function == 0 {
			return e.EBX == 0x68747541 // "Auth"
		}
	}
	return false
}
