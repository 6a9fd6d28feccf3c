package machine

import (
	"fmt"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/devices/scsi"
)

// What VMware's drives are called. Windows knows a drive again by these names.
const (
	ideDiskModel   = "VMware Virtual IDE Hard Drive"
	ideCDROMModel  = "VMware Virtual IDE CDROM Drive"
	sataDiskModel  = "VMware Virtual SATA Hard Drive"
	sataCDROMModel = "VMware Virtual SATA CDRW Drive"
	ataFirmware    = "00000001"
)

// ataDrive makes an ATA drive: nil for a hard disk without medium, which is no drive at all.
func (b *board) ataDrive(d drive, sata bool) (ata.Device, error) {
	diskModel, cdromModel := ideDiskModel, ideCDROMModel
	if sata {
		diskModel, cdromModel = sataDiskModel, sataCDROMModel
	}
	log := b.m.log.With("disk", d.Address.String())
	switch {
	case d.Media == config.MediaCDROM:
		unit, err := scsi.NewCDROM(scsi.CDROMConfig{Image: d.image, Serial: serialOf(d.Disk), KeepSense: true, Log: log})
		if err != nil {
			return nil, fmt.Errorf("disk %s: %w", d.Address, err)
		}
		drive, err := ata.NewCDROM(ata.CDROMConfig{
			Unit: unit, Model: cdromModel, Serial: serialOf(d.Disk), Firmware: ataFirmware, SATA: sata, Reads: d.gates.in,
		})
		if err != nil {
			return nil, fmt.Errorf("disk %s: %w", d.Address, err)
		}
		return drive, nil
	case d.image == nil:
		return nil, nil
	}
	drive, err := ata.NewDisk(ata.DiskConfig{
		Image: d.image, Model: diskModel, Serial: serialOf(d.Disk), Firmware: ataFirmware,
		ReadOnly: d.ReadOnly, WriteThrough: d.WriteThrough, SATA: sata, Reads: d.gates.in, Writes: d.gates.out, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", d.Address, err)
	}
	return drive, nil
}
