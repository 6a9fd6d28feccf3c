package kvm

import "fmt"

// HyperVCPUID returns the leaves by which KVM would be a Hyper-V to this vCPU's guest (KVM_GET_SUPPORTED_HV_CPUID).
func (c *VCPU) HyperVCPUID() ([]CPUIDEntry, error) {
	t := &cpuid2{n: maxCPUIDEntries}
	if _, err := callPtr(c.fd, ioc(dirRead|dirWrite, 0xc1, 8), t); err != nil {
		return nil, fmt.Errorf("KVM_GET_SUPPORTED_HV_CPUID: %w", err)
	}
	return t.entries[:min(t.n, maxCPUIDEntries):min(t.n, maxCPUIDEntries)], nil
}

// EnableSynIC gives the vCPU Hyper-V's synthetic interrupt controller (KVM_CAP_HYPERV_SYNIC2).
func (c *VCPU) EnableSynIC() error {
	if _, err := callPtr(c.fd, set[enableCap](0xa3), &enableCap{cap: uint32(CapHyperVSynIC2)}); err != nil {
		return fmt.Errorf("KVM_ENABLE_CAP HYPERV_SYNIC2: %w", err)
	}
	return nil
}
