package machine

import (
	"fmt"
	"slices"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/fusion"
)

func (b *board) addLSILogic(c controller) error { return b.addFusion(c, fusion.LSI53C1030) }

func (b *board) addLSISAS(c controller) error { return b.addFusion(c, fusion.SAS1068) }

// addFusion plugs an LSI adapter with the controller's drives.
func (b *board) addFusion(c controller, model fusion.Model) error {
	const addresses = 16
	targets, err := b.targets(c, addresses, model == fusion.LSI53C1030)
	if err != nil {
		return err
	}
	name := c.Bus.String()
	dev, err := fusion.New(fusion.Config{
		Name: name, Model: model, Targets: targets, WWID: c.SASWWID, Memory: b.mem, MSI: b.vm, Log: b.m.log,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.closers = append(b.closers, dev)
	for _, d := range c.drives {
		b.bootDrive(d, dev.Function(), unitSCSI(d.Address.Unit, 0))
	}
	return b.plugFunction(c.Slot, name, dev.Function(), dev)
}

// clockMisleads says whether the machine's firmware must not have KVM's clock. SeaBIOS's driver for these adapters, as Debian builds it (1.16.2), clears its
// request through ES without having set it. Reading the PM timer just before leaves the right segment there; with KVM's clock SeaBIOS keeps time by the TSC instead,
// and the zeroes go to an address a little above 1 MiB with each read: into the kernel that GRUB has just loaded.
func clockMisleads(c *config.Machine) bool {
	return c.Firmware.Kind == config.FirmwareBIOS && byFirmware(c) && slices.ContainsFunc(c.Controllers, func(c config.Controller) bool {
		return c.Model == config.ControllerLSILogic || c.Model == config.ControllerLSISAS
	})
}
