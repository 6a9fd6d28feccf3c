package machine

import "github.com/sharevm/vmm/config"

// optionalDrivers are OVMF's drivers for controllers that a distribution's build of it leaves out. The packages do not say so anywhere; Debian's and Ubuntu's rules do.
var optionalDrivers = map[config.ControllerModel]string{
	config.ControllerLSILogic: "MptScsiDxe",
	config.ControllerLSISAS:   "MptScsiDxe",
	config.ControllerPVSCSI:   "PvScsiDxe",
}

// undriven returns a controller that EFI firmware may lack the driver for, and the driver's name: that of the first hard disk, where none is on another kind.
// The driver is "" where firmware finds a disk, or looks for none.
func undriven(c *config.Machine) (driver string, at config.Controller) {
	if c.Firmware.Kind != config.FirmwareEFI {
		return "", at
	}
	for _, d := range c.Disks {
		if d.Media != config.MediaDisk || d.Path == "" {
			continue
		}
		for _, ctl := range c.Controllers {
			if ctl.Bus != d.Address.Bus {
				continue
			}
			name, optional := optionalDrivers[ctl.Model]
			if !optional {
				return "", config.Controller{}
			}
			if driver == "" {
				driver, at = name, ctl
			}
		}
	}
	return driver, at
}
