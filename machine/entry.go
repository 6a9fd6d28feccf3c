package machine

import (
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/boot/entry"
	"github.com/sharevm/vmm/vmm/kvm"
)

// setEntry puts the boot processor into the state that a loader asked for.
func setEntry(cpu *kvm.VCPU, s entry.State) error {
	if s.Mode == entry.Real {
		return nil // as KVM creates it
	}
	old, err := cpu.Sregs()
	if err != nil {
		return err
	}
	data := segment(s.Data)
	old.CS, old.TR = segment(s.CS), segment(s.TR)
	old.DS, old.ES, old.FS, old.GS, old.SS = data, data, data, data, data
	old.LDT = kvm.Segment{Unusable: 1}
	old.GDT = kvm.DTable{Base: s.GDT.Base, Limit: s.GDT.Limit}
	old.IDT = kvm.DTable{Base: s.IDT.Base, Limit: s.IDT.Limit}
	old.CR0, old.CR3, old.CR4, old.EFER = s.CR0, s.CR3, s.CR4, s.EFER
	if err := cpu.SetSregs(old); err != nil {
		return err
	}
	const reserved = 1 << 1 // always set in RFLAGS
	return cpu.SetRegs(kvm.Regs{RIP: s.RIP, RSP: s.RSP, RBX: s.RBX, RSI: s.RSI, RFLAGS: reserved})
}

// setRealMode has a processor that was reset begin at an address below 1 MiB, as ACPI 6.5, section 16.3.1 wakes a system.
func setRealMode(cpu *kvm.VCPU, address uint32) error {
	s, err := cpu.Sregs()
	if err != nil {
		return err
	}
	s.CS.Selector, s.CS.Base = uint16(address>>4), uint64(address&^15)
	if err := cpu.SetSregs(s); err != nil {
		return err
	}
	const reserved = 1 << 1 // always set in RFLAGS
	return cpu.SetRegs(kvm.Regs{RIP: uint64(address & 15), RFLAGS: reserved})
}

func segment(s entry.Segment) kvm.Segment {
	return kvm.Segment{
		Base: uint64(s.Base), Limit: s.Limit, Selector: s.Selector, Type: s.Type, Present: 1,
		S: bit(!s.System), L: bit(s.Long), DB: bit(s.Big), G: bit(s.Page),
	}
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// MSRs that a PC's firmware sets up before it starts a system.
const (
	msrMiscEnable  = 0x1A0
	msrMTRRDefType = 0x2FF

	miscFastStrings  = 1 << 0
	mtrrEnable       = 1 << 11
	mtrrWriteBack    = 6
	lapicLVT0        = 0x350
	lapicLVT1        = 0x360
	deliveryNMI      = 4 << 8
	deliveryExtINT   = 7 << 8
	lapicDeliverMask = 7<<8 | 1<<16 // delivery mode and mask
)

// setFirmwareState leaves in a processor what its firmware would have: memory cached by default, and the legacy interrupts
// wired through the boot processor's local APIC ("virtual wire", MultiProcessor Specification 1.4, section 3.6.2.2).
func setFirmwareState(cpu *kvm.VCPU, id int) error {
	if err := cpu.SetMSRs([]kvm.MSREntry{{Index: msrMTRRDefType, Data: mtrrEnable | mtrrWriteBack}, {Index: msrMiscEnable, Data: miscFastStrings}}); err != nil {
		return fmt.Errorf("vCPU %d: %w", id, err)
	}
	l, err := cpu.LAPIC()
	if err != nil {
		return fmt.Errorf("vCPU %d: %w", id, err)
	}
	if id == 0 {
		setLVT(&l, lapicLVT0, deliveryExtINT)
	}
	setLVT(&l, lapicLVT1, deliveryNMI)
	if err := cpu.SetLAPIC(l); err != nil {
		return fmt.Errorf("vCPU %d: %w", id, err)
	}
	return nil
}

// setLVT unmasks an entry of the local vector table with the delivery mode.
func setLVT(l *kvm.LAPIC, reg int, mode uint32) {
	v := binary.LittleEndian.Uint32(l.Regs[reg:])
	binary.LittleEndian.PutUint32(l.Regs[reg:], v&^lapicDeliverMask|mode)
}
