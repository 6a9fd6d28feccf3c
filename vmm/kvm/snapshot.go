package kvm

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// This file reads and writes the parts of a machine's state that only a snapshot is interested in.

// XSaveSize is the largest extended state in bytes that is kept: AMX needs some 11 KiB.
const XSaveSize = 16 << 10

// XSave is struct kvm_xsave with what KVM_CAP_XSAVE2 appends.
type XSave [XSaveSize]byte

// XCRs is struct kvm_xcrs.
type XCRs struct {
	N     uint32
	Flags uint32
	XCR   [16]XCR
	_     [16]uint64
}

// XCR is struct kvm_xcr.
type XCR struct {
	Index uint32
	_     uint32
	Value uint64
}

// VCPUEvents is struct kvm_vcpu_events: exceptions, interrupts and NMIs that are under way.
type VCPUEvents [64]byte

// DebugRegs is struct kvm_debugregs.
type DebugRegs [128]byte

// IRQChip is struct kvm_irqchip: the registers of one of PICMaster, PICSlave and IOAPIC.
type IRQChip struct {
	ID   uint32
	_    uint32
	Regs [512]byte
}

// PIT is struct kvm_pit_state2.
type PIT [112]byte

// Clock is struct kvm_clock_data.
type Clock struct {
	NS       uint64 // what the paravirtual clock says, in nanoseconds
	Flags    uint32
	_        uint32
	Realtime uint64
	HostTSC  uint64
	_        [4]uint32
}

// Capabilities that only a snapshot asks about.
const (
	CapXCRs   Cap = 56
	CapXSave2 Cap = 208
)

// XSaveBytes is how much of an XSave this host's KVM uses, which is what has to be kept.
func (s *System) XSaveBytes() int {
	const plain = 4096
	return min(max(s.Check(CapXSave2), plain), XSaveSize)
}

// MSRIndices returns the MSRs that hold a guest's state (KVM_GET_MSR_INDEX_LIST).
func (s *System) MSRIndices() ([]uint32, error) {
	const most = 1024
	list := &struct {
		n       uint32
		indices [most]uint32
	}{n: most}
	if _, err := callPtr(s.fd, ioc(dirRead|dirWrite, 0x02, 4), list); err != nil {
		return nil, fmt.Errorf("KVM_GET_MSR_INDEX_LIST: %w", err)
	}
	return list.indices[:min(list.n, most)], nil
}

// MSRs returns those of the given MSRs that the vCPU has (KVM_GET_MSRS).
func (c *VCPU) MSRs(indices []uint32) ([]MSREntry, error) {
	var all []MSREntry
	for len(indices) > 0 {
		m := &msrs{}
		for _, index := range indices[:min(len(indices), maxMSRs)] {
			m.entries[m.n].Index = index
			m.n++
		}
		n, err := callPtr(c.fd, ioc(dirRead|dirWrite, 0x88, 8), m)
		if err != nil {
			return nil, fmt.Errorf("KVM_GET_MSRS: %w", err)
		}
		all = append(all, m.entries[:n]...)
		if n < int(m.n) {
			n++ // KVM stops at the first that the vCPU does not have
		}
		indices = indices[n:]
	}
	return all, nil
}

// XSave returns the x87, SSE and later vector registers (KVM_GET_XSAVE, or KVM_GET_XSAVE2 where size says that there is more).
func (c *VCPU) XSave(size int) (*XSave, error) {
	nr := uintptr(0xa4)
	if size > 4096 {
		nr = 0xcf
	}
	x := new(XSave)
	if _, err := callPtr(c.fd, ioc(dirRead, nr, 4096), x); err != nil {
		return nil, fmt.Errorf("KVM_GET_XSAVE: %w", err)
	}
	return x, nil
}

// SetXSave sets what XSave returned (KVM_SET_XSAVE).
func (c *VCPU) SetXSave(x *XSave) error {
	if _, err := callPtr(c.fd, ioc(dirWrite, 0xa5, 4096), x); err != nil {
		return fmt.Errorf("KVM_SET_XSAVE: %w", err)
	}
	return nil
}

// XCRs returns the extended control registers; none where the processor has no XSAVE (KVM_GET_XCRS).
func (c *VCPU) XCRs() (x XCRs, err error) {
	if _, err = callPtr(c.fd, get[XCRs](0xa6), &x); errors.Is(err, unix.EINVAL) {
		return XCRs{}, nil
	}
	if err != nil {
		err = fmt.Errorf("KVM_GET_XCRS: %w", err)
	}
	return x, err
}

// SetXCRs sets what XCRs returned (KVM_SET_XCRS).
func (c *VCPU) SetXCRs(x XCRs) error {
	if x.N == 0 {
		return nil
	}
	if _, err := callPtr(c.fd, set[XCRs](0xa7), &x); err != nil {
		return fmt.Errorf("KVM_SET_XCRS: %w", err)
	}
	return nil
}

// MPState returns whether the vCPU runs, halts or waits for its start-up IPI (KVM_GET_MP_STATE).
func (c *VCPU) MPState() (s uint32, err error) {
	if _, err = callPtr(c.fd, get[uint32](0x98), &s); err != nil {
		err = fmt.Errorf("KVM_GET_MP_STATE: %w", err)
	}
	return s, err
}

// SetMPState sets what MPState returned (KVM_SET_MP_STATE).
func (c *VCPU) SetMPState(s uint32) error {
	if _, err := callPtr(c.fd, set[uint32](0x99), &s); err != nil {
		return fmt.Errorf("KVM_SET_MP_STATE %d: %w", s, err)
	}
	return nil
}

// Events returns what is being delivered (KVM_GET_VCPU_EVENTS).
func (c *VCPU) Events() (e VCPUEvents, err error) {
	if _, err = callPtr(c.fd, get[VCPUEvents](0x9f), &e); err != nil {
		err = fmt.Errorf("KVM_GET_VCPU_EVENTS: %w", err)
	}
	return e, err
}

// SetEvents sets what Events returned (KVM_SET_VCPU_EVENTS).
func (c *VCPU) SetEvents(e VCPUEvents) error {
	if _, err := callPtr(c.fd, set[VCPUEvents](0xa0), &e); err != nil {
		return fmt.Errorf("KVM_SET_VCPU_EVENTS: %w", err)
	}
	return nil
}

// DebugRegs returns DR0 to DR7 (KVM_GET_DEBUGREGS).
func (c *VCPU) DebugRegs() (d DebugRegs, err error) {
	if _, err = callPtr(c.fd, get[DebugRegs](0xa1), &d); err != nil {
		err = fmt.Errorf("KVM_GET_DEBUGREGS: %w", err)
	}
	return d, err
}

// SetDebugRegs sets what DebugRegs returned (KVM_SET_DEBUGREGS).
func (c *VCPU) SetDebugRegs(d DebugRegs) error {
	if _, err := callPtr(c.fd, set[DebugRegs](0xa2), &d); err != nil {
		return fmt.Errorf("KVM_SET_DEBUGREGS: %w", err)
	}
	return nil
}

// NotifyStopped tells a guest with the paravirtual clock that it was stopped, so that it does not take its own processors for hung
// (KVM_KVMCLOCK_CTRL). A guest without it is not told.
func (c *VCPU) NotifyStopped() error {
	if _, err := call(c.fd, ioc(dirNone, 0xad, 0), 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("KVM_KVMCLOCK_CTRL: %w", err)
	}
	return nil
}

// IRQChip returns the registers of a PIC or the IOAPIC (KVM_GET_IRQCHIP).
func (v *VM) IRQChip(id uint32) (IRQChip, error) {
	c := IRQChip{ID: id}
	if _, err := callPtr(v.fd, getSet[IRQChip](0x62), &c); err != nil {
		return c, fmt.Errorf("KVM_GET_IRQCHIP %d: %w", id, err)
	}
	return c, nil
}

// SetIRQChip sets what IRQChip returned (KVM_SET_IRQCHIP).
func (v *VM) SetIRQChip(c IRQChip) error {
	// The kernel's header has this one the wrong way round.
	if _, err := callPtr(v.fd, get[IRQChip](0x63), &c); err != nil {
		return fmt.Errorf("KVM_SET_IRQCHIP %d: %w", c.ID, err)
	}
	return nil
}

// PIT returns the state of the 8254 (KVM_GET_PIT2).
func (v *VM) PIT() (p PIT, err error) {
	if _, err = callPtr(v.fd, get[PIT](0x9f), &p); err != nil {
		err = fmt.Errorf("KVM_GET_PIT2: %w", err)
	}
	return p, err
}

// SetPIT sets what PIT returned (KVM_SET_PIT2).
func (v *VM) SetPIT(p PIT) error {
	if _, err := callPtr(v.fd, set[PIT](0xa0), &p); err != nil {
		return fmt.Errorf("KVM_SET_PIT2: %w", err)
	}
	return nil
}

// Clock returns the paravirtual clock (KVM_GET_CLOCK).
func (v *VM) Clock() (c Clock, err error) {
	if _, err = callPtr(v.fd, get[Clock](0x7c), &c); err != nil {
		err = fmt.Errorf("KVM_GET_CLOCK: %w", err)
	}
	return c, err
}

// SetClock sets the paravirtual clock to ns nanoseconds (KVM_SET_CLOCK).
func (v *VM) SetClock(ns uint64) error {
	if _, err := callPtr(v.fd, set[Clock](0x7b), &Clock{NS: ns}); err != nil {
		return fmt.Errorf("KVM_SET_CLOCK: %w", err)
	}
	return nil
}
