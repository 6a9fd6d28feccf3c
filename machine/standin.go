package machine

import (
	"fmt"
	"sync/atomic"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/virtio/transport"
	"github.com/sharevm/vmm/vmm/state"
)

// optionalDrivers are OVMF's drivers for controllers that a distribution's build of it leaves out. The packages do not say so anywhere; Debian's and Ubuntu's rules do.
var optionalDrivers = map[config.ControllerModel]string{
	config.ControllerLSILogic: "MptScsiDxe",
	config.ControllerLSISAS:   "MptScsiDxe",
	config.ControllerPVSCSI:   "PvScsiDxe",
}

// standIn is a virtio disk by which EFI firmware reaches a drive whose controller it has no driver for. It leaves when the operating system takes over ACPI's fixed hardware: every
// system does so before it looks for devices, so that none sees the drive twice.
type standIn struct {
	*transport.Transport
	gone atomic.Bool
}

// maxStandIns is how many functions a device has. Firmware needs those of the drives that it boots from.
const maxStandIns = 8

// needStandIns returns the hard disks that the distribution's EFI firmware does not find, no more than there can be stand-ins.
func (b *board) needStandIns() (drives []drive) {
	if b.m.cfg.Firmware.Kind != config.FirmwareEFI || b.m.firmware == nil || !b.m.firmware.packaged {
		return nil
	}
	for _, c := range b.m.cfg.Controllers {
		if optionalDrivers[c.Model] == "" {
			continue
		}
		for _, d := range b.drivesOf(c.Bus) {
			if d.Media == config.MediaDisk && d.image != nil && len(drives) < maxStandIns {
				drives = append(drives, d)
			}
		}
	}
	return drives
}

// addStandIns plugs stand-ins as the functions of one device, in the last slot that is free: whatever else the guest has is where it would be without them.
func (b *board) addStandIns() error {
	drives := b.needStandIns()
	if len(drives) == 0 {
		return nil
	}
	slot := uint8(lastSlot)
	for ; slot > 0 && b.slots[slot]; slot-- {
	}
	if slot == 0 {
		b.m.log.Warn("EFI firmware of this host has no driver for the controller of the machine's disks, and there is no PCI slot left for a stand-in: leave a device out, or choose a controller of SATA or NVMe")
		return nil
	}
	b.slots[slot] = true
	for i, d := range drives {
		name := "stand-in of " + d.Address.String()
		dev, err := b.newVirtioDisk(d)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		t, err := transport.New(dev, transport.Config{Name: name, Memory: b.mem, MSI: b.vm, Log: b.m.log})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		b.closers = append(b.closers, t)
		if err := b.root.Plug(pci.Address{Device: slot, Function: uint8(i)}, t.Function()); err != nil {
			return err
		}
		s := &standIn{Transport: t}
		b.devices = append(b.devices, s)
		b.standIns = append(b.standIns, s)
		b.bootDrive(d, t.Function(), unitVirtioDisk())
	}
	if b.slept != nil { // its system runs on
		b.takenOver()
	}
	return nil
}

// takenOver is called when an operating system has begun to run.
func (b *board) takenOver() {
	for _, s := range b.standIns {
		s.leave()
	}
}

func (s *standIn) leave() {
	if !s.gone.Swap(true) {
		s.Reset()
		s.Function().Withdraw()
	}
}

// Save implements state.Device.
func (s *standIn) Save(w *state.Writer) {
	w.Version("stand-in", 1)
	w.Bool(s.gone.Load())
	s.Transport.Save(w)
}

// Restore implements state.Device.
func (s *standIn) Restore(r *state.Reader) error {
	r.Version("stand-in", 1)
	gone := r.Bool()
	if err := s.Transport.Restore(r); err != nil {
		return err
	}
	if gone {
		s.leave()
	}
	return nil
}
