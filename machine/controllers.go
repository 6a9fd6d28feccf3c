package machine

import (
	"fmt"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/virtio/blk"
)

// drive is a drive of a controller, with what stands behind it.
type drive struct {
	*config.Disk
	image disk.Image // nil for a drive without medium
	gates gates
}

// controller is a storage controller with its drives, in order of their addresses.
type controller struct {
	*config.Controller
	drives []drive
}

// addControllers plugs the storage controllers, each as the model that the configuration names.
func (b *board) addControllers() error {
	builders := map[config.ControllerModel]func(controller) error{
		config.ControllerVirtioBlk: b.addVirtioDisks,
		config.ControllerPIIX:      b.addIDE,
		config.ControllerAHCI:      b.addAHCI,
		config.ControllerNVMe:      b.addNVMe,
		config.ControllerLSILogic:  b.addLSILogic,
		config.ControllerLSISAS:    b.addLSISAS,
		config.ControllerPVSCSI:    b.addPVSCSI,
	}
	for i := range b.m.cfg.Controllers {
		c := controller{Controller: &b.m.cfg.Controllers[i]}
		if c.Bus.Kind == config.BusFloppy {
			continue
		}
		c.drives = b.drivesOf(c.Bus)
		add, ok := builders[c.Model]
		if !ok {
			return fmt.Errorf("%s: a controller %q is not supported yet", c.Bus, c.Model)
		}
		if err := add(c); err != nil {
			return fmt.Errorf("%s: %w", c.Bus, err)
		}
	}
	return nil
}

// drivesOf returns the drives of a bus, in order of their addresses.
func (b *board) drivesOf(bus config.Bus) (drives []drive) {
	for k := range b.m.cfg.Disks {
		if d := &b.m.cfg.Disks[k]; d.Address.Bus == bus {
			drives = append(drives, drive{Disk: d, image: b.m.disks[k], gates: b.m.diskGates[k]})
		}
	}
	return drives
}

// maxQueues bounds the queues of a disk: a queue costs a thread's worth of state in guest and host.
const maxQueues = 4

// addVirtioDisks shows each drive with a medium as a function of its own.
func (b *board) addVirtioDisks(c controller) error {
	for _, d := range c.drives {
		if d.image == nil {
			continue
		}
		dev, err := b.newVirtioDisk(d)
		if err != nil {
			return fmt.Errorf("disk %s: %w", d.Address, err)
		}
		f, err := b.plugVirtio("disk "+d.Address.String(), dev)
		if err != nil {
			return err
		}
		b.bootDrive(d, f, unitVirtioDisk())
	}
	return nil
}

func (b *board) newVirtioDisk(d drive) (*blk.Device, error) {
	return blk.New(blk.Config{
		Image: d.image, Serial: serialOf(d.Disk), ReadOnly: d.ReadOnly || d.Media == config.MediaCDROM, WriteThrough: d.WriteThrough,
		Queues: min(b.m.cfg.CPU.Count, maxQueues), Reads: d.gates.in, Writes: d.gates.out, Log: b.m.log,
	})
}
