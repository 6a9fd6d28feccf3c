package machine

import (
	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/acpipm"
	"github.com/sharevm/vmm/devices/hpet"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/devices/q35"
	"github.com/sharevm/vmm/vmm/irq"
)

// pcBuses is how many PCI buses the PC board decodes; systems look at those that a bridge leads to.
const pcBuses = 256

// pc says whether this is the PC board, with the chipset that firmware and foreign systems know.
func (b *board) pc() bool { return b.m.cfg.Board == config.BoardPC }

// buses is how many PCI buses the board decodes.
func (b *board) buses() int {
	if b.pc() {
		return pcBuses
	}
	return pciBuses
}

// addQ35 makes the root complex of the PC board, with the bridge to what sits at fixed ports. Firmware says where configuration space lies;
// without any it is where the tables say.
func (b *board) addQ35(c pci.Config) error {
	var apic [q35.PIRQs]irq.Line
	copy(apic[:], c.Lines)
	router := q35.NewRouter(apic, b.vm.Line)
	ecam := uint64(layout.ECAM)
	if b.m.cfg.Boot.Kernel == "" {
		ecam = 0
	}
	host, err := q35.NewHostBridge(q35.HostBridgeConfig{
		LowRAM: b.layout.Low.Size, HighRAM: b.layout.High.Size, ECAM: ecam,
		Place: func(base uint64, buses int) error { return b.root.PlaceECAM(base, buses) },
		Log:   b.m.log,
	})
	if err != nil {
		return err
	}
	c.Lines = router.Lines()
	c.Route = func(a pci.Address, pin uint8) int { return layout.PIRQ(a.Device, pin-1) }
	if b.root, err = pci.NewRoot(c, host); err != nil {
		return err
	}
	if ecam != 0 {
		if err := b.root.PlaceECAM(ecam, pcBuses); err != nil {
			return err
		}
	}
	lpc, err := q35.NewLPC(q35.LPCConfig{
		IO: b.vm.Ports, Memory: b.vm.MMIO, PM: b.power.Block(), PMBase: layout.PortPMBase, PMSize: acpipm.BlockSize, Router: router, Log: b.m.log,
	})
	if err != nil {
		return err
	}
	if err := b.plugFunction(layout.LPCSlot, "LPC bridge", lpc.Function(), lpc); err != nil {
		return err
	}
	return b.addHPET()
}

// addHPET adds the timers that take the place of the 8254's interrupt and of the clock's, where the machine has them.
func (b *board) addHPET() error {
	if !b.m.cfg.Clock.HPET {
		return nil
	}
	d := hpet.New(hpet.Config{
		Line: func(input int) irq.Line {
			switch {
			case input >= layout.GSIPCIFirst:
				return b.root.Line(input - layout.GSIPCIFirst)
			case input == layout.GSIPITInIOAPIC:
				return b.vm.Line(0)
			}
			return b.vm.Line(input)
		},
		Legacy: func(on bool) {
			if err := b.vm.SilencePIT(on); err != nil {
				b.m.log.Warn("the timer's interrupt may come twice", "error", err)
			}
		},
		Log: b.m.log,
	})
	b.closers = append(b.closers, d)
	b.devices = append(b.devices, d)
	return b.vm.MMIO.Map(layout.HPET, hpet.Size, d)
}
