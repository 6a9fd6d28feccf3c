package machine

import (
	"errors"
	"fmt"
	"io"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/devices/acpipm"
	"github.com/sharevm/vmm/devices/i8042"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/devices/rtc"
	"github.com/sharevm/vmm/devices/vmgenid"
	"github.com/sharevm/vmm/display/vdagent"
	"github.com/sharevm/vmm/virtio/balloon"
	"github.com/sharevm/vmm/virtio/console"
	"github.com/sharevm/vmm/vmm"
	"github.com/sharevm/vmm/vmm/cpuid"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/vcpu"
)

// pciBuses is how many PCI buses the fast board decodes: each costs a guest the time to look at 32 slots, and all devices are on bus 0.
const pciBuses = 1

// board is one power cycle: RAM, VM and devices.
type board struct {
	m      *Machine
	layout layout.Layout
	mem    *memory.Guest
	vm     *vmm.VM
	root   *pci.Root
	power  *acpipm.Device
	// keyboard is the controller of keyboard and mouse; on the fast board nothing is plugged into it.
	keyboard *i8042.Device
	clock    *rtc.RTC
	hvc      *console.Device
	balloon  *balloon.Device // nil without
	agent    *agent          // nil without
	spice    *vdagent.Agent  // nil without a clipboard
	// generation is the number by which a guest that firmware started finds out that it was restored; nil without firmware.
	generation *vmgenid.Device
	tpmMemory  *tpmMemory // nil without a TPM
	loading    *loading
	verdict    *verdict
	// from is what the board goes on from; nil for one that is powered on.
	from *Snapshot
	// restored is closed when the devices are what they were in from.
	restored chan struct{}
	// slept is what the board goes on from that was suspended to RAM, or nil.
	slept  *sleep
	paused bool

	// closers run in reverse order of their making, after the vCPUs have stopped.
	closers []io.Closer
	// slots are the slots of bus 0 that are taken; slot 0 is the host bridge's.
	slots [lastSlot + 1]bool
	// bootables are the drives and cards that firmware can boot from.
	bootables []bootable
	// standIns are there until an operating system runs.
	standIns []*standIn
	// bridges are those that something is behind.
	bridges map[bridgeKey]pci.Bridge
	// devices can be paused, in order of their making.
	devices []state.Device
}

// newBoard assembles a board, to go on from slept unless that is nil, in the order in which its parts depend on one another. Nothing runs before start.
func (m *Machine) newBoard(slept *sleep) (_ *board, err error) {
	b := &board{m: m, verdict: newVerdict(), from: m.takeSnapshot(), restored: make(chan struct{}), slept: slept}
	defer func() {
		if err != nil {
			_ = b.close()
			_ = b.from.Close()
		}
	}()
	type step struct {
		name string
		do   func() error
	}
	last := step{"kernel loaded", b.finishLoading}
	switch {
	case slept != nil:
		last = step{"guest woken", b.wake}
	case b.from != nil:
		last = step{"devices restored", b.restore}
	}
	for _, step := range []step{
		{"guest memory", b.addMemory},
		{"virtual machine", b.addVM},
		{"platform devices", b.addPlatform},
		{"PCI devices", b.addPCI},
		{"firmware", b.addFirmware},
		last,
	} {
		if err := step.do(); err != nil {
			return nil, err
		}
		m.opt.Timeline.Add(step.name)
	}
	return b, nil
}

func (b *board) addMemory() (err error) {
	cfg := b.m.cfg
	if b.layout, err = layout.New(uint64(cfg.Memory), b.m.physBits); err != nil {
		return err
	}
	b.closers = append(b.closers, closeMemory{b})
	if b.slept != nil {
		b.mem, b.loading = b.slept.memory, noKernel()
		return nil
	}
	high := b.layout.High.Base
	c := memory.Config{Size: b.layout.RAM, LowLimit: lowLimit(b.layout), HighBase: high, Mergeable: cfg.Run.KSM}
	if b.m.opt.HugePages {
		c.Backing = memory.HugeTLB
	}
	if b.from != nil {
		c.From, c.Reading = b.from.memory, b.from.working.reading()
	}
	b.mem, err = memory.New(c)
	if err != nil {
		return err
	}
	if b.from == nil {
		b.startLoading()
	} else {
		b.prefetch()
	}
	return nil
}

// closeMemory gives RAM back, unless the machine sleeps and will go on from it.
type closeMemory struct{ b *board }

// Close implements io.Closer.
func (c closeMemory) Close() error {
	if c.b.mem == nil || c.b.verdict.what == suspended {
		return nil
	}
	return c.b.mem.Close()
}

// lowLimit is where memory has to be split; anything above the size will do where it is not.
func lowLimit(l layout.Layout) uint64 {
	if l.High.Size > 0 {
		return l.Low.Size
	}
	return layout.ECAM
}

func (b *board) addVM() error {
	cfg, log := b.m.cfg, b.m.log
	vm, err := vmm.New(vmm.Config{
		System: b.m.opt.System,
		Memory: b.mem,
		CPU: cpuid.Policy{
			Topology: cpuid.Topology{CPUs: cfg.CPU.Count, CoresPerSocket: cfg.CPU.CoresPerSocket},
			Nested:   cfg.CPU.Nested,
			Hide:     cfg.CPU.HideHypervisor,
		},
		Enlightened:   cfg.CPU.Enlightened,
		Holes:         b.videoHoles(),
		LateClock:     clockMisleads(cfg),
		RealModePages: layout.IdentityMap,
		OnStop:        b.vcpuStopped,
		OnThread:      b.m.cpu.Thread,
		OnFirstEntry:  func() { b.m.opt.Timeline.Add("first guest instruction") },
		Log:           log,
	})
	if err != nil {
		return err
	}
	b.vm = vm
	b.closers = append(b.closers, vm)
	return nil
}

// vcpuStopped judges a vCPU that cannot go on: a triple fault is how a PC's software resets it in need.
func (b *board) vcpuStopped(s vcpu.Stop) {
	if s.Err == nil {
		b.m.log.Info("triple fault: the machine is reset", "vcpu", s.VCPU)
		b.verdict.decide(rebooted, nil)
		return
	}
	b.verdict.decide(failed, s.Err)
}

// start lets the guest run, unless the board is paused.
func (b *board) start() {
	if b.from != nil && b.spice != nil {
		b.spice.Restored()
	}
	if b.from != nil && !b.paused { // devices that were restored wait
		b.resumeDevices()
	}
	b.vm.Start()
	if b.from != nil {
		b.agent.restored(b.from.meta.MACs, b.m.macs)
		if !b.paused {
			b.aside("network cables", b.m.pull)
		}
		b.m.abandon(b.from.meta.Connections)
		b.aside("what was typed before", b.m.input.Deliver)
		b.m.begin()
	}
}

// pause and resume take turns: devices do not count.
func (b *board) pause() {
	b.paused = true
	b.vm.Pause()
	for _, d := range b.devices {
		d.Pause()
	}
}

func (b *board) resume() {
	b.paused = false
	b.resumeDevices()
	b.vm.Resume()
}

func (b *board) resumeDevices() {
	for _, d := range b.devices {
		d.Resume()
	}
}

func (b *board) resize(columns, rows uint16) {
	if columns != 0 && rows != 0 {
		b.hvc.Resize(columns, rows)
	}
}

// close stops the guest, then its devices, and frees everything.
func (b *board) close() error {
	if b.vm != nil {
		b.vm.Stop()
	}
	var errs []error
	for i := len(b.closers) - 1; i >= 0; i-- {
		if err := b.closers[i].Close(); err != nil {
			errs = append(errs, fmt.Errorf("%T: %w", b.closers[i], err))
		}
	}
	b.closers = nil
	return errors.Join(errs...)
}
