package machine

import (
	"fmt"
	"time"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/internal/guard"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/balloon"
	"github.com/sharevm/vmm/virtio/console"
	"github.com/sharevm/vmm/virtio/rng"
	"github.com/sharevm/vmm/virtio/transport"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/state"
)

// addPCI makes the root complex and plugs the devices into bus 0.
func (b *board) addPCI() error {
	var lines []irq.Line
	for i := range layout.GSIPCICount {
		lines = append(lines, b.vm.Line(layout.GSIPCIFirst+i))
	}
	c := pci.Config{
		Memory: b.vm.MMIO, IO: b.vm.Ports, Buses: b.buses(), Lines: lines, Reset: b.power.ResetPort(), Log: b.m.log,
	}
	add := b.addPlainRoot
	if b.pc() {
		add = b.addQ35
	}
	if err := add(c); err != nil {
		return err
	}
	root := b.root
	// Linux prefers these ports to ECAM for the first 256 bytes, at two exits an access; but without them it says at every start that
	// it has found no way to configuration space.
	if err := b.vm.Ports.Map(layout.PortPCIAddress, 8, root.Ports()); err != nil {
		return err
	}
	// Half of those exits are stores to the address latch, which matters only to the access that follows. CF9h lies in the same range: a reset
	// by it waits for the next exit, so that the ACPI tables name another way, and none is collected once the guest has started.
	if b.from == nil { // who goes on from a snapshot has found its devices
		if err := b.vm.CoalescePorts(layout.PortPCIAddress, layout.PortPCIData-layout.PortPCIAddress, startTime); err != nil {
			return err
		}
	}
	b.devices = append(b.devices, root)
	b.reserveBridges()
	for _, add := range []func() error{b.addDisplay, b.addControllers, b.addNICs, b.addSound, b.addConsole, b.addAgent, b.addClipboard, b.addRNG, b.addBalloon, b.addInput, b.addStandIns} {
		if err := add(); err != nil {
			return err
		}
	}
	if byFirmware(b.m.cfg) {
		return nil // which assigns the BARs
	}
	return root.Assign(pci.Windows{
		IO:    pci.Window(b.layout.Ports),
		Mem32: pci.Window(b.layout.MMIO32),
		Mem64: pci.Window(b.layout.MMIO64),
	})
}

// addPlainRoot makes the root complex of the fast board: a host bridge, and configuration space where the tables say.
func (b *board) addPlainRoot(c pci.Config) (err error) {
	if b.root, err = pci.NewRoot(c, nil); err != nil {
		return err
	}
	return b.root.PlaceECAM(layout.ECAM, pciBuses)
}

// startTime is how long a guest may take, where processors are emulated, until it has found its devices.
const startTime = 5 * time.Second

// lastSlot is the last slot of a PCI bus.
const lastSlot = 31

// plug puts a virtio device into the next free slot.
func (b *board) plug(name string, dev virtio.Device) error {
	_, err := b.plugVirtio(name, dev)
	return err
}

// plugVirtio is plug, for who needs the PCI function.
func (b *board) plugVirtio(name string, dev virtio.Device) (*pci.Function, error) {
	// Where firmware assigns the BARs, ports are scarce behind bridges.
	ports := (dev.Type() == virtio.TypeBlock || dev.Type() == virtio.TypeNet) && !b.pc()
	t, err := transport.New(dev, transport.Config{Name: name, Memory: b.mem, MSI: b.vm, Ports: ports, Log: b.m.log})
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, t)
	return t.Function(), b.plugFunction(config.NoSlot, name, t.Function(), t)
}

// plugFunction puts a function into the slot that the configuration wants, or into the next free one; state is what pauses and restores with it.
func (b *board) plugFunction(want config.PCISlot, name string, f *pci.Function, s state.Device) error {
	if b.plugBehind(want, f) {
		b.devices = append(b.devices, s)
		return nil
	}
	slot, err := b.takeSlot(want)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.devices = append(b.devices, s)
	return b.root.Plug(pci.Address{Device: slot}, f)
}

// takeSlot finds a free slot on bus 0: the wanted one where that is on this bus and free.
func (b *board) takeSlot(want config.PCISlot) (uint8, error) {
	if _, _, behind := want.Bridge(); want != config.NoSlot && b.pc() && !behind {
		if n := uint8(want.Device()); n != 0 && !b.slots[n] {
			b.slots[n] = true
			return n, nil
		}
	}
	for n := uint8(1); n <= lastSlot; n++ {
		if !b.slots[n] {
			b.slots[n] = true
			return n, nil
		}
	}
	return 0, fmt.Errorf("the board holds %d devices, disks, network cards and its own together; leave some out", lastSlot)
}

func (b *board) addConsole() error {
	end := b.m.console.attach(true)
	// Linux looks at the terminal's size when it changes, not when its driver starts.
	end.used = func() {
		defer guard.Panic(b.m.log, "console size")
		b.m.repeatSize()
	}
	dev, err := console.New(console.Config{Ports: []console.PortConfig{{Console: true, In: end, Out: end}}, Log: b.m.log})
	if err != nil {
		return err
	}
	b.hvc = dev
	closeDevice := closeFunc(func() {
		// A terminal that is held must not fail the machine, nor keep it from restarting.
		if err := dev.Close(); err != nil {
			b.m.log.Warn("console output is lost", "error", err)
		}
	})
	// Its reader has to end before the device can.
	b.closers = append(b.closers, closeDevice, end)
	return b.plug("console", dev)
}

func (b *board) addRNG() error { return b.plug("rng", rng.New()) }

// addBalloon adds the way by which the guest gives memory back, where the host can take it.
func (b *board) addBalloon() error {
	if !b.m.cfg.Run.Balloon || !b.mem.Discards() {
		return nil
	}
	b.balloon = balloon.New(b.mem.Discard)
	return b.plug("balloon", b.balloon)
}
