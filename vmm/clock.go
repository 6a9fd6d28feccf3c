package vmm

import (
	"github.com/sharevm/vmm/vmm/kvm"
	"github.com/sharevm/vmm/vmm/vcpu"
)

// clockMSR is where a guest says at which address it wants to read KVM's clock (MSR_KVM_SYSTEM_TIME_NEW).
const clockMSR = 0x4b564d01

// firmwareEnd is the end of the memory that firmware keeps its variables in.
const firmwareEnd = 1 << 20

// clockGuard has KVM's clock tick only for systems, not for firmware: see Config.LateClock.
type clockGuard struct {
	vcpu.MSRs
	clocks []*kvm.VCPU
}

// WriteMSR implements vcpu.MSRs, on the vCPU's own thread.
func (g *clockGuard) WriteMSR(cpu int, index uint32, value uint64) bool {
	if index != clockMSR {
		return g.MSRs.WriteMSR(cpu, index, value)
	}
	if value < firmwareEnd && value != 0 {
		return true
	}
	return g.clocks[cpu].SetMSRs([]kvm.MSREntry{{Index: index, Data: value}}) == nil
}
