package vmm

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/cpuid"
	"github.com/sharevm/vmm/vmm/kvm"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/vcpu"
)

// Config describes the bare machine.
type Config struct {
	// System is the open KVM device; the VM does not close it.
	System *kvm.System
	Memory *memory.Guest // owned by the caller
	// Holes are ranges of RAM that the guest does not see, because devices decode them: ascending, in whole pages.
	Holes []Range
	CPU   cpuid.Policy
	// Enlightened shows the guest Hyper-V's interface where KVM has it, which its absence does not make an error.
	Enlightened bool
	// LateClock keeps KVM's own clock from firmware: it does not tick at addresses below 1 MiB. Where KVM cannot do that it is no error.
	LateClock bool
	// RealModePages is the guest-physical address of four pages that no RAM or device uses, which KVM needs to run
	// real mode on old Intel CPUs.
	RealModePages uint64
	// OnStop is told when a vCPU stops by itself; see vcpu.Config.
	OnStop func(vcpu.Stop)
	// OnThread is called on the thread of each vCPU when it starts, and ended when it ends.
	OnThread func() (ended func())
	// OnFirstEntry is called once before the first instruction of the boot processor.
	OnFirstEntry func()
	Log          *slog.Logger
}

// VM is a virtual machine: RAM, two buses, interrupt controllers and vCPUs. Its vCPUs do not run before Start.
type VM struct {
	Memory *memory.Guest
	Ports  *bus.Bus
	MMIO   *bus.Bus

	system *kvm.System
	kvm    *kvm.VM
	slots  atomic.Uint32 // of KVM's memory slots, those in use
	// coalesced is nil where KVM cannot collect stores to ports.
	coalesced   *vcpu.Coalesced
	coalescing  coalescing
	binding     *binding
	irq         *irqChip
	vcpus       []*vcpu.VCPU
	cpuid       []kvm.CPUIDEntry // what the boot processor tells the guest
	enlightened bool             // the guest sees a Hyper-V
	log         *slog.Logger
}

// New makes a VM with the in-kernel PIC, IOAPIC, local APICs and PIT.
func New(c Config) (_ *VM, err error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := c.CPU.Topology.Validate(); err != nil {
		return nil, err
	}
	if most := c.System.Check(kvm.CapMaxVCPUs); most > 0 && c.CPU.Topology.CPUs > most {
		return nil, fmt.Errorf("%d vCPUs: this host's KVM allows %d", c.CPU.Topology.CPUs, most)
	}
	k, err := c.System.CreateVM()
	if err != nil {
		return nil, err
	}
	vm := &VM{Memory: c.Memory, system: c.System, kvm: k, log: c.Log}
	defer func() {
		if err != nil {
			_ = vm.Close()
		}
	}()
	if err := k.SetIdentityMapAddr(c.RealModePages); err != nil {
		return nil, err
	}
	if err := k.SetTSSAddr(c.RealModePages + 4096); err != nil {
		return nil, err
	}
	if err := k.CreateIRQChip(); err != nil {
		return nil, err
	}
	if err := k.CreatePIT(); err != nil {
		return nil, err
	}
	if c.System.Check(kvm.CapX86UserSpaceMSR) > 0 {
		if err := k.EnableUserMSR(); err != nil {
			return nil, err
		}
	}
	for _, r := range cut(c.Memory.Regions(), c.Holes) {
		if err := k.SetMemoryRegion(slot(vm.slots.Add(1)-1, r)); err != nil {
			return nil, err
		}
	}
	vm.irq = newIRQChip(k, c.Log)
	vm.binding = &binding{kvm: k, log: c.Log}
	vm.Ports = bus.New("port", &doorbells{vm.binding, true})
	vm.MMIO = bus.New("memory", &doorbells{vm.binding, false})
	return vm, vm.addVCPUs(c)
}

func (vm *VM) addVCPUs(c Config) error {
	supported, err := c.System.SupportedCPUID()
	if err != nil {
		return err
	}
	c.CPU.TSCDeadline = c.System.Check(kvm.CapTSCDeadlineTimer) > 0
	msrs := &clockGuard{MSRs: &vcpu.SinkMSRs{Log: c.Log}}
	if c.LateClock && c.System.Check(kvm.CapX86MSRFilter) > 0 {
		if err := vm.kvm.WatchMSR(clockMSR); err != nil {
			return err
		}
	}
	for i := range c.CPU.Topology.CPUs {
		k, err := vm.kvm.CreateVCPU(c.CPU.Topology.APICID(i))
		if err != nil {
			return err
		}
		if i == 0 && c.System.Check(kvm.CapCoalescedPIO) > 0 {
			if ring, ok := k.Ring(c.System.Check(kvm.CapCoalescedMMIO)); ok {
				vm.coalesced = vcpu.NewCoalesced(ring, vm.Ports, vm.MMIO)
			}
		}
		vc := vcpu.Config{
			ID: i, KVM: k, Memory: c.Memory, Ports: vm.Ports, MMIO: vm.MMIO, MSRs: msrs, Coalesced: vm.coalesced, OnStop: c.OnStop, OnThread: c.OnThread, Log: c.Log,
		}
		if i == 0 {
			vc.OnFirstEntry = c.OnFirstEntry
		}
		vm.vcpus = append(vm.vcpus, vcpu.New(vc))
		msrs.clocks = append(msrs.clocks, k)
		if c.Enlightened {
			if c.CPU.HyperV, err = vm.enlighten(k); err != nil {
				return fmt.Errorf("vCPU %d: %w", i, err)
			}
			c.Enlightened = c.CPU.HyperV != nil
			vm.enlightened = c.Enlightened
		}
		entries := c.CPU.For(supported, i)
		if i == 0 {
			vm.cpuid = entries
		}
		if err := k.SetCPUID(entries); err != nil {
			return fmt.Errorf("vCPU %d: %w", i, err)
		}
	}
	return nil
}

// enlighten prepares a vCPU for a guest that sees a Hyper-V, and returns what KVM supports of it: nil, with a word to the user, where that is too
// little.
func (vm *VM) enlighten(c *kvm.VCPU) ([]kvm.CPUIDEntry, error) {
	missing := "KVM_CAP_HYPERV_CPUID"
	if vm.system.Check(kvm.CapHyperVCPUID) > 0 {
		if vm.system.Check(kvm.CapHyperVSynIC2) > 0 {
			if err := c.EnableSynIC(); err != nil {
				return nil, err
			}
		}
		supported, err := c.HyperVCPUID()
		if err != nil {
			return nil, err
		}
		if missing = cpuid.HyperVNeeds(supported); missing == "" {
			return supported, nil
		}
	}
	vm.log.Warn("this host's KVM has no Hyper-V interface, without which Windows is slower", "missing", missing)
	return nil, nil
}

// VCPUs returns the virtual CPUs; the first is the boot processor.
func (vm *VM) VCPUs() []*vcpu.VCPU { return vm.vcpus }

// CPUID returns what the boot processor tells the guest of itself.
func (vm *VM) CPUID() []kvm.CPUIDEntry { return vm.cpuid }

// Clock returns the guest's paravirtual clock: the time since it was powered on.
func (vm *VM) Clock() (time.Duration, error) {
	c, err := vm.kvm.Clock()
	return time.Duration(c.NS), err
}

// SetClock has the guest's paravirtual clock go on from t.
func (vm *VM) SetClock(t time.Duration) error { return vm.kvm.SetClock(uint64(t)) }

// Start lets all vCPUs run. The others wait for the boot processor's start-up IPI inside KVM.
func (vm *VM) Start() {
	for _, v := range vm.vcpus {
		v.Start()
	}
	vm.binding.release()
}

// Pause takes every vCPU out of the guest and returns when all are out. Calls nest.
func (vm *VM) Pause() {
	for _, v := range vm.vcpus {
		v.Pause()
	}
}

// Resume undoes one Pause.
func (vm *VM) Resume() {
	for _, v := range vm.vcpus {
		v.Resume()
	}
}

// Stop ends all vCPUs and returns when none is in the guest or in a device any more.
func (vm *VM) Stop() {
	for _, v := range vm.vcpus {
		v.Stop()
	}
	if vm.binding != nil {
		vm.binding.end() // before devices close their doorbells' events
	}
}

// Close stops the vCPUs and frees what the VM holds in the kernel. Guest RAM stays the caller's.
func (vm *VM) Close() error {
	vm.Stop()
	vm.coalescing.end()
	var errs []error
	for _, v := range vm.vcpus {
		errs = append(errs, v.KVM().Close())
	}
	vm.vcpus = nil
	if vm.irq != nil {
		errs = append(errs, vm.irq.close())
	}
	errs = append(errs, vm.kvm.Close())
	return errors.Join(errs...)
}
