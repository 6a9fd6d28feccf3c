package kvm

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// VCPU is a vCPU's file descriptor and the area that it shares with the kernel. Except for Kick's half in
// RequestExit, its methods belong to the thread that runs it.
type VCPU struct {
	fd   int
	area []byte
	run  *runArea
}

// Close unmaps the area and closes the descriptor. The vCPU must not be running.
func (c *VCPU) Close() error {
	err := unix.Munmap(c.area)
	c.run = nil
	if e := unix.Close(c.fd); err == nil {
		err = e
	}
	return err
}

// SetCPUID chooses what CPUID tells the guest (KVM_SET_CPUID2); before the first run.
func (c *VCPU) SetCPUID(entries []CPUIDEntry) error {
	if len(entries) > maxCPUIDEntries {
		return fmt.Errorf("KVM_SET_CPUID2: %d entries, at most %d", len(entries), maxCPUIDEntries)
	}
	t := &cpuid2{n: uint32(len(entries))}
	copy(t.entries[:], entries)
	if _, err := callPtr(c.fd, ioc(dirWrite, 0x90, 8), t); err != nil {
		return fmt.Errorf("KVM_SET_CPUID2: %w", err)
	}
	return nil
}

// Regs returns the general registers (KVM_GET_REGS).
func (c *VCPU) Regs() (r Regs, err error) {
	if _, err = callPtr(c.fd, get[Regs](0x81), &r); err != nil {
		err = fmt.Errorf("KVM_GET_REGS: %w", err)
	}
	return r, err
}

// SetRegs sets the general registers (KVM_SET_REGS).
func (c *VCPU) SetRegs(r Regs) error {
	if _, err := callPtr(c.fd, set[Regs](0x82), &r); err != nil {
		return fmt.Errorf("KVM_SET_REGS: %w", err)
	}
	return nil
}

// Sregs returns segments, control registers and EFER (KVM_GET_SREGS).
func (c *VCPU) Sregs() (s Sregs, err error) {
	if _, err = callPtr(c.fd, get[Sregs](0x83), &s); err != nil {
		err = fmt.Errorf("KVM_GET_SREGS: %w", err)
	}
	return s, err
}

// SetSregs sets segments, control registers and EFER (KVM_SET_SREGS).
func (c *VCPU) SetSregs(s Sregs) error {
	if _, err := callPtr(c.fd, set[Sregs](0x84), &s); err != nil {
		return fmt.Errorf("KVM_SET_SREGS: %w", err)
	}
	return nil
}

// SetFPU sets the x87 and SSE state (KVM_SET_FPU).
func (c *VCPU) SetFPU(f FPU) error {
	if _, err := callPtr(c.fd, set[FPU](0x8d), &f); err != nil {
		return fmt.Errorf("KVM_SET_FPU: %w", err)
	}
	return nil
}

// LAPIC returns the local APIC's registers (KVM_GET_LAPIC).
func (c *VCPU) LAPIC() (l LAPIC, err error) {
	if _, err = callPtr(c.fd, get[LAPIC](0x8e), &l); err != nil {
		err = fmt.Errorf("KVM_GET_LAPIC: %w", err)
	}
	return l, err
}

// SetLAPIC sets the local APIC's registers (KVM_SET_LAPIC).
func (c *VCPU) SetLAPIC(l LAPIC) error {
	if _, err := callPtr(c.fd, set[LAPIC](0x8f), &l); err != nil {
		return fmt.Errorf("KVM_SET_LAPIC: %w", err)
	}
	return nil
}

// SetMSRs sets MSRs in order (KVM_SET_MSRS). The error names the first that KVM refused.
func (c *VCPU) SetMSRs(entries []MSREntry) error {
	if len(entries) > maxMSRs {
		return fmt.Errorf("KVM_SET_MSRS: %d entries, at most %d", len(entries), maxMSRs)
	}
	m := &msrs{n: uint32(len(entries))}
	copy(m.entries[:], entries)
	n, err := callPtr(c.fd, ioc(dirWrite, 0x89, 8), m)
	if err != nil {
		return fmt.Errorf("KVM_SET_MSRS: %w", err)
	}
	if n < len(entries) {
		return fmt.Errorf("KVM_SET_MSRS: MSR %#x refused", entries[n].Index)
	}
	return nil
}

// TSCKHz returns the guest's TSC frequency in kHz, or 0 where KVM cannot tell (KVM_GET_TSC_KHZ).
func (c *VCPU) TSCKHz() uint32 {
	v, err := call(c.fd, ioc(dirNone, 0xa3, 0), 0)
	if err != nil || v < 0 {
		return 0
	}
	return uint32(v)
}

// Translate walks the guest's page tables for a linear address (KVM_TRANSLATE); ok is false where nothing is mapped.
func (c *VCPU) Translate(linear uint64) (gpa uint64, ok bool) {
	t := translation{linear: linear}
	if _, err := callPtr(c.fd, getSet[translation](0x85), &t); err != nil {
		return 0, false
	}
	return t.physical, t.valid != 0
}
