package vmm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/sharevm/vmm/vmm/kvm"
	"github.com/sharevm/vmm/vmm/state"
)

const stateName, stateVersion = "vm", 1

// Bounds on what a snapshot says of a vCPU.
const (
	maxSavedMSRs = 2048
	msrSize      = 12 // bytes: index and value
)

// msrTSCDeadline arms a timer of the local APIC, which has to be there before.
const msrTSCDeadline = 0x6e0

// Save appends the state of processors, interrupt controllers, timer and clock. The VM is paused, and its memory is not part of it.
func (vm *VM) Save(w *state.Writer) error {
	vm.coalesced.Drain(vm.log)
	w.Version(stateName, stateVersion)
	clock, err := vm.kvm.Clock()
	if err != nil {
		return err
	}
	w.U64(clock.NS)
	for _, id := range chips {
		c, err := vm.kvm.IRQChip(id)
		if err != nil {
			return err
		}
		w.Bytes(c.Regs[:])
	}
	pit, err := vm.kvm.PIT()
	if err != nil {
		return err
	}
	w.Bytes(pit[:])
	indices, err := vm.system.MSRIndices()
	if err != nil {
		return err
	}
	indices = append(indices, mtrrs()...)
	if vm.enlightened {
		indices = append(indices, synthetic()...)
	}
	slices.Sort(indices)
	indices = slices.Compact(indices)
	w.U16(uint16(len(vm.vcpus)))
	for i, v := range vm.vcpus {
		if err := vm.saveVCPU(w, v.KVM(), indices); err != nil {
			return fmt.Errorf("vCPU %d: %w", i, err)
		}
	}
	return nil
}

var chips = []uint32{kvm.PICMaster, kvm.PICSlave, kvm.IOAPIC}

// mtrrs are memory type range registers, which KVM's list leaves out: the variable ones, the fixed ones, the default.
func mtrrs() (all []uint32) {
	for i := range uint32(16) {
		all = append(all, 0x200+i)
	}
	all = append(all, 0x250, 0x258, 0x259)
	for i := range uint32(8) {
		all = append(all, 0x268+i)
	}
	return append(all, 0x2ff)
}

// synthetic are the registers of a Hyper-V's interrupt controller and timers that KVM's list leaves out (Hypervisor Top Level Functional Specification 6.0b,
// 11.8 and 12.3): event and message pages, sixteen interrupts, and for each of four timers its configuration and its count, which is set after that.
func synthetic() (all []uint32) {
	const eventPage, messagePage, firstInterrupt, firstTimer = 0x40000082, 0x40000083, 0x40000090, 0x400000b0
	all = append(all, eventPage, messagePage)
	for i := range uint32(16) {
		all = append(all, firstInterrupt+i)
	}
	for i := range uint32(8) {
		all = append(all, firstTimer+i)
	}
	return all
}

func (vm *VM) saveVCPU(w *state.Writer, c *kvm.VCPU, indices []uint32) error {
	// Asking for this lets KVM settle what start-up IPIs have done, so it comes first.
	mp, err := c.MPState()
	if err != nil {
		return err
	}
	regs, err := c.Regs()
	if err != nil {
		return err
	}
	sregs, err := c.Sregs()
	if err != nil {
		return err
	}
	xcrs, err := c.XCRs()
	if err != nil {
		return err
	}
	size := vm.system.XSaveBytes()
	xsave, err := c.XSave(size)
	if err != nil {
		return err
	}
	lapic, err := c.LAPIC()
	if err != nil {
		return err
	}
	events, err := c.Events()
	if err != nil {
		return err
	}
	debug, err := c.DebugRegs()
	if err != nil {
		return err
	}
	msrs, err := c.MSRs(indices)
	if err != nil {
		return err
	}
	w.U32(mp)
	saveStruct(w, &regs)
	saveStruct(w, &sregs)
	saveStruct(w, &xcrs)
	w.Bytes(xsave[:size])
	w.Bytes(lapic.Regs[:])
	w.Bytes(events[:])
	w.Bytes(debug[:])
	var list []byte
	for _, m := range msrs {
		list = binary.LittleEndian.AppendUint32(list, m.Index)
		list = binary.LittleEndian.AppendUint64(list, m.Data)
	}
	w.Bytes(list)
	return nil
}

// Restore takes the state of a VM of the same configuration from r, before Start and before its devices are restored. Start then goes on where the other
// was saved.
func (vm *VM) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	clock := r.U64()
	for _, id := range chips {
		c := kvm.IRQChip{ID: id}
		readInto(r, c.Regs[:])
		if r.Err() != nil {
			return r.Err()
		}
		if err := vm.kvm.SetIRQChip(c); err != nil {
			return err
		}
	}
	var pit kvm.PIT
	readInto(r, pit[:])
	if n := r.U16(); r.Err() == nil && int(n) != len(vm.vcpus) {
		r.Fail("%d vCPUs, this machine has %d", n, len(vm.vcpus))
	}
	if r.Err() != nil {
		return r.Err()
	}
	if err := vm.kvm.SetPIT(pit); err != nil {
		return err
	}
	for i, v := range vm.vcpus {
		if err := vm.restoreVCPU(r, v.KVM()); err != nil {
			return fmt.Errorf("vCPU %d: %w", i, err)
		}
	}
	// Last, so that it goes on as late as possible.
	return vm.kvm.SetClock(clock)
}

// RestoreDevices has restore bring the devices to where they were, after Restore. KVM is told of all their interrupts at once, and of their doorbells beside the guest, after
// Start: each by itself would take longer than all the rest.
func (vm *VM) RestoreDevices(restore func() error) error {
	vm.irq.hold()
	vm.binding.hold()
	if err := restore(); err != nil {
		return err
	}
	return vm.irq.release()
}

func (vm *VM) restoreVCPU(r *state.Reader, c *kvm.VCPU) error {
	var (
		mp     = r.U32()
		regs   kvm.Regs
		sregs  kvm.Sregs
		xcrs   kvm.XCRs
		xsave  = new(kvm.XSave)
		lapic  kvm.LAPIC
		events kvm.VCPUEvents
		debug  kvm.DebugRegs
	)
	readStruct(r, &regs)
	readStruct(r, &sregs)
	readStruct(r, &xcrs)
	readInto(r, xsave[:vm.system.XSaveBytes()])
	readInto(r, lapic.Regs[:])
	readInto(r, events[:])
	readInto(r, debug[:])
	list := r.Bytes(maxSavedMSRs * msrSize)
	if r.Err() == nil && len(list)%msrSize != 0 {
		r.Fail("a list of MSRs of %d bytes", len(list))
	}
	if r.Err() != nil {
		return r.Err()
	}
	var msrs, late []kvm.MSREntry
	for ; len(list) > 0; list = list[msrSize:] {
		m := kvm.MSREntry{Index: binary.LittleEndian.Uint32(list), Data: binary.LittleEndian.Uint64(list[4:])}
		if m.Index == msrTSCDeadline {
			late = append(late, m)
		} else {
			msrs = append(msrs, m)
		}
	}
	for _, step := range []func() error{
		func() error { return c.SetSregs(sregs) },
		func() error { return c.SetXCRs(xcrs) },
		func() error { return c.SetXSave(xsave) },
		func() error { return setMSRs(c, msrs) },
		func() error { return c.SetRegs(regs) },
		func() error { return c.SetLAPIC(lapic) },
		func() error { return setMSRs(c, late) },
		func() error { return c.SetMPState(mp) },
		func() error { return c.SetEvents(events) },
		func() error { return c.SetDebugRegs(debug) },
		c.NotifyStopped,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// setMSRs sets MSRs. One that KVM refuses does not matter where it has the value already: some are constants of the host.
func setMSRs(c *kvm.VCPU, msrs []kvm.MSREntry) error {
	const batch = 32
	for part := range slices.Chunk(msrs, batch) {
		if c.SetMSRs(part) == nil {
			continue
		}
		for _, m := range part {
			err := c.SetMSRs([]kvm.MSREntry{m})
			if err == nil {
				continue
			}
			if now, e := c.MSRs([]uint32{m.Index}); e != nil || len(now) != 1 || now[0].Data != m.Data {
				return fmt.Errorf("%w (to %#x)", err, m.Data)
			}
		}
	}
	return nil
}

// saveStruct appends a structure of the kernel's interface, which has a fixed layout.
func saveStruct(w *state.Writer, s any) {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, s) // cannot fail: no type in there varies in size
	w.Bytes(b.Bytes())
}

func readStruct(r *state.Reader, s any) {
	p := make([]byte, binary.Size(s))
	readInto(r, p)
	_, _ = binary.Decode(p, binary.LittleEndian, s)
}

// readInto fills p from a field that must be as long.
func readInto(r *state.Reader, p []byte) {
	got := r.Bytes(len(p))
	if r.Err() == nil && len(got) != len(p) {
		r.Fail("a field of %d bytes where %d were expected", len(got), len(p))
	}
	copy(p, got)
}
