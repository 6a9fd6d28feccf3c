package machine

import (
	"fmt"

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
