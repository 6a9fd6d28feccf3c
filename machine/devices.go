package machine

import (
	"fmt"
	"time"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/internal/guard"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/balloon"
	"github.com/sharevm/vmm/virtio/blk"
	"github.com/sharevm/vmm/virtio/console"
	"github.com/sharevm/vmm/virtio/net"
	"github.com/sharevm/vmm/virtio/rng"
	"github.com/sharevm/vmm/virtio/transport"
	"github.com/sharevm/vmm/vmm/irq"
)

// addPCI makes the root complex and plugs the devices of the fast board: everything is virtio, and every function is on bus 0.
func (b *board) addPCI() error {
	var lines []irq.Line
	for i := range layout.GSIPCICount {
		lines = append(lines, b.vm.Line(layout.GSIPCIFirst+i))
	}
	root, err := pci.NewRoot(pci.Config{
		Memory: b.vm.MMIO, IO: b.vm.Ports, Buses: pciBuses, Lines: lines, Reset: b.power.ResetPort(), Log: b.m.log,
	}, nil)
	if err != nil {
		return err
	}
	b.root = root
	// Linux prefers these ports to ECAM for the first 256 bytes, at two exits an access; but without them it says at every start that
	// it has found no way to configuration space.
	if err := b.vm.Ports.Map(layout.PortPCIAddress, 8, root.Ports()); err != nil {
		return err
	}
	// Half of those exits are stores to the address latch, which matters only to the access that follows. CF9h lies in the same range: a reset
	// by it waits for the next exit, so that the ACPI tables name another way, and none is collected once the guest has started.
	if err := b.vm.CoalescePorts(layout.PortPCIAddress, layout.PortPCIData-layout.PortPCIAddress, startTime); err != nil {
		return err
	}
	ecam, size := root.ECAM()
	if err := b.vm.MMIO.Map(layout.ECAM, size, ecam); err != nil {
		return err
	}
	b.devices = append(b.devices, root)
	for _, add := range []func() error{b.addDisks, b.addNICs, b.addConsole, b.addRNG, b.addBalloon} {
		if err := add(); err != nil {
			return err
		}
	}
	return root.Assign(pci.Windows{
		IO:    pci.Window(b.layout.Ports),
		Mem32: pci.Window(b.layout.MMIO32),
		Mem64: pci.Window(b.layout.MMIO64),
	})
}

// startTime is how long a guest may take, where processors are emulated, until it has found its devices.
const startTime = 5 * time.Second

// lastSlot is the last slot of a PCI bus.
const lastSlot = 31

// plug puts a virtio device into the next free slot.
func (b *board) plug(name string, dev virtio.Device) error {
	if b.slot == lastSlot {
		return fmt.Errorf("%s: the fast board holds %d devices, disks, network cards and its own together; leave some out", name, lastSlot)
	}
	t, err := transport.New(dev, transport.Config{Name: name, Memory: b.mem, MSI: b.vm, Log: b.m.log})
	if err != nil {
		return err
	}
	b.closers = append(b.closers, t)
	b.devices = append(b.devices, t)
	b.slot++
	return b.root.Plug(pci.Address{Device: b.slot}, t.Function())
}

// maxQueues bounds the queues of a disk: a queue costs a thread's worth of state in guest and host.
const maxQueues = 4

func (b *board) addDisks() error {
	for i := range b.m.cfg.Disks {
		d, img := &b.m.cfg.Disks[i], b.m.disks[i]
		if img == nil || d.Media == config.MediaFloppy {
			continue
		}
		dev, err := blk.New(blk.Config{
			Image: img, Serial: serialOf(d), ReadOnly: d.ReadOnly || d.Media == config.MediaCDROM, WriteThrough: d.WriteThrough,
			Queues: min(b.m.cfg.CPU.Count, maxQueues), Reads: b.m.diskGates[i].in, Writes: b.m.diskGates[i].out, Log: b.m.log,
		})
		if err != nil {
			return fmt.Errorf("disk %s: %w", d.Address, err)
		}
		if err := b.plug("disk "+d.Address.String(), dev); err != nil {
			return err
		}
	}
	return nil
}

func (b *board) addNICs() error {
	for i := range b.m.cfg.NICs {
		n, link := &b.m.cfg.NICs[i], b.m.links[i]
		c := net.Config{MAC: b.m.macs[i], LinkDown: !n.Connected, In: b.m.nicGates[i].in, Out: b.m.nicGates[i].out, Log: b.m.log}
		if link == nil {
			link, c.LinkDown = network.Unplugged(), true
		}
		c.Links = []network.Link{link}
		dev, err := net.New(c)
		if err != nil {
			return fmt.Errorf("ethernet%d: %w", n.Index, err)
		}
		if err := b.plug(fmt.Sprintf("ethernet%d", n.Index), dev); err != nil {
			return err
		}
	}
	return nil
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
