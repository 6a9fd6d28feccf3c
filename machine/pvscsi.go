package machine

import (
	"fmt"

	"github.com/sharevm/vmm/devices/pvscsi"
)

// addPVSCSI plugs VMware's paravirtual adapter with the controller's drives. It has 16 addresses as long as no drive needs more: guests
// make room for as many as it says.
func (b *board) addPVSCSI(c controller) error {
	addresses := 16
	for _, d := range c.drives {
		if d.Address.Unit >= addresses {
			addresses = pvscsi.MaxTargets
		}
	}
	targets, err := b.targets(c, addresses, false)
	if err != nil {
		return err
	}
	name := c.Bus.String()
	dev, err := pvscsi.New(pvscsi.Config{Name: name, Targets: targets, Memory: b.mem, MSI: b.vm, Log: b.m.log})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.closers = append(b.closers, dev)
	for _, d := range c.drives {
		b.bootDrive(d, dev.Function(), unitSCSI(d.Address.Unit, 0))
	}
	return b.plugFunction(c.Slot, name, dev.Function(), dev)
}
