package machine

import (
	"github.com/sharevm/vmm/devices/ahci"
	"github.com/sharevm/vmm/devices/ata"
)

// addAHCI plugs a SATA adapter with as many ports as its last drive needs: each further one costs a guest the time to look at it.
func (b *board) addAHCI(c controller) error {
	cfg := ahci.Config{Name: c.Bus.String(), Memory: b.mem, MSI: b.vm, Log: b.m.log, Drives: make([]ata.Device, 1, ahci.MaxPorts)}
	for _, d := range c.drives {
		drive, err := b.ataDrive(d, true)
		if err != nil {
			return err
		}
		cfg.Drives = cfg.Drives[:max(len(cfg.Drives), d.Address.Unit+1)]
		cfg.Drives[d.Address.Unit] = drive
	}
	dev, err := ahci.New(cfg)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, dev)
	for _, d := range c.drives {
		b.bootDrive(d, dev.Function(), unitSATA(d.Address.Unit))
	}
	return b.plugFunction(c.Slot, c.Bus.String(), dev.Function(), dev)
}
