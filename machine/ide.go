package machine

import (
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/ide"
)

// ideSlot is where the IDE function sits. On VMware and Hyper-V it is function 1 there, behind an ISA bridge as function 0 that this board has
// elsewhere; guests look at function 0 first, and drivers know the function by its identity.
const ideSlot config.PCISlot = 7

// addIDE plugs the one function that serves both IDE buses, at the first of them.
func (b *board) addIDE(c controller) error {
	for i := range b.m.cfg.Controllers {
		if first := &b.m.cfg.Controllers[i]; first.Model == config.ControllerPIIX && first != c.Controller {
			return nil
		} else if first == c.Controller {
			break
		}
	}
	cfg := ide.Config{Memory: b.mem, Log: b.m.log}
	for i, l := range ide.Channels {
		cfg.Lines[i] = b.vm.Line(l.IRQ)
		for _, d := range b.drivesOf(config.Bus{Kind: config.BusIDE, Number: i}) {
			drive, err := b.ataDrive(d, false)
			if err != nil {
				return err
			}
			cfg.Drives[i][d.Address.Unit] = drive
		}
	}
	dev, err := ide.New(cfg)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, dev)
	for i, l := range ide.Channels {
		if err := b.vm.Ports.Map(uint64(l.Command), ide.CommandSize, dev.Command(i)); err != nil {
			return err
		}
		if err := b.vm.Ports.Map(uint64(l.Control), 1, dev.Control(i)); err != nil {
			return err
		}
	}
	for i := range ide.Channels {
		for _, d := range b.drivesOf(config.Bus{Kind: config.BusIDE, Number: i}) {
			b.bootDrive(d, dev.Function(), unitIDE(i, d.Address.Unit))
		}
	}
	return b.plugFunction(ideSlot, "IDE", dev.Function(), dev)
}
