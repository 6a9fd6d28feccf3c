package machine

import (
	"testing"

	"github.com/sharevm/vmm/config"
)

func TestUndriven(t *testing.T) {
	scsi, nvme := config.Bus{Kind: config.BusSCSI}, config.Bus{Kind: config.BusNVMe}
	disk := func(b config.Bus, media config.Media) config.Disk {
		return config.Disk{Address: config.Address{Bus: b}, Media: media, Path: "/disk"}
	}
	for _, c := range []struct {
		name     string
		firmware config.FirmwareKind
		model    config.ControllerModel
		disks    []config.Disk
		want     string
	}{
		{"paravirtual", config.FirmwareEFI, config.ControllerPVSCSI, []config.Disk{disk(scsi, config.MediaDisk)}, "PvScsiDxe"},
		{"SAS", config.FirmwareEFI, config.ControllerLSISAS, []config.Disk{disk(scsi, config.MediaDisk)}, "MptScsiDxe"},
		{"parallel, with a disc elsewhere", config.FirmwareEFI, config.ControllerLSILogic, []config.Disk{disk(nvme, config.MediaCDROM), disk(scsi, config.MediaDisk)}, "MptScsiDxe"},
		{"a disk elsewhere", config.FirmwareEFI, config.ControllerPVSCSI, []config.Disk{disk(scsi, config.MediaDisk), disk(nvme, config.MediaDisk)}, ""},
		{"virtio", config.FirmwareEFI, config.ControllerVirtioBlk, []config.Disk{disk(scsi, config.MediaDisk)}, ""},
		{"no disk", config.FirmwareEFI, config.ControllerPVSCSI, nil, ""},
		{"BIOS", config.FirmwareBIOS, config.ControllerPVSCSI, []config.Disk{disk(scsi, config.MediaDisk)}, ""},
	} {
		m := config.New("test")
		m.Firmware.Kind, m.Disks = c.firmware, c.disks
		m.Controllers = []config.Controller{{Bus: scsi, Model: c.model}, {Bus: nvme, Model: config.ControllerNVMe}}
		if got, at := undriven(m); got != c.want || got != "" && at.Bus != scsi {
			t.Errorf("%s: driver %q of %v, want %q", c.name, got, at.Bus, c.want)
		}
	}
}
