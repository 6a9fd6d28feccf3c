package machine

import (
	"fmt"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/scsi"
)

// targets makes the drives of a SCSI controller its targets, by their SCSI IDs; addresses is how many of those there are. parallel says that
// they sit on a parallel bus.
func (b *board) targets(c controller, addresses int, parallel bool) ([]*scsi.Target, error) {
	list := make([]*scsi.Target, addresses)
	for _, d := range c.drives {
		id := d.Address.Unit
		if id >= addresses {
			return nil, fmt.Errorf("disk %s: the controller has SCSI IDs up to %d", d.Address, addresses-1)
		}
		log := b.m.log.With("disk", d.Address.String())
		var unit scsi.Unit
		var err error
		if d.Media == config.MediaCDROM {
			unit, err = scsi.NewCDROM(scsi.CDROMConfig{Image: d.image, Serial: serialOf(d.Disk), Parallel: parallel, Log: log})
		} else {
			unit, err = scsi.NewDisk(scsi.DiskConfig{
				Image: d.image, Serial: serialOf(d.Disk), ReadOnly: d.ReadOnly, WriteThrough: d.WriteThrough, Parallel: parallel, Log: log,
			})
		}
		if err != nil {
			return nil, fmt.Errorf("disk %s: %w", d.Address, err)
		}
		list[id] = &scsi.Target{Unit: unit, Reads: d.gates.in, Writes: d.gates.out}
	}
	return list, nil
}
