package machine

import (
	"crypto/sha256"
	"fmt"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/nvme"
)

const (
	// nvmeModel is what VMware's controllers say they are. Guests find their disks by it and by the serial number (/dev/disk/by-id).
	nvmeModel = "VMware Virtual NVMe Disk"
	// The I/O queue pairs of a controller, each of which takes an interrupt. EDK II's driver asks for two, and gives the controller up if it gets one.
	leastNVMeQueues, mostNVMeQueues = 2, 16
)

// addNVMe adds a controller whose namespaces are its drives: drive nvme0:3 is namespace 4.
func (b *board) addNVMe(c controller) error {
	cfg := nvme.Config{
		Name: c.Bus.String(), Memory: b.mem, MSI: b.vm, QueuePairs: min(max(b.m.cfg.CPU.Count, leastNVMeQueues), mostNVMeQueues),
		Serial: fmt.Sprintf("VMWARE NVME_%04d", c.Bus.Number), Model: nvmeModel, UUID: b.m.nvmeUUID(c.Bus), Log: b.m.log,
	}
	for _, d := range c.drives {
		if d.image == nil {
			continue
		}
		if d.Serial != "" {
			cfg.Serial = d.Serial
		}
		cfg.Namespaces = append(cfg.Namespaces, nvme.Namespace{
			ID: uint32(d.Address.Unit) + 1, Image: d.image, ReadOnly: d.ReadOnly || d.Media == config.MediaCDROM, WriteThrough: d.WriteThrough,
			Reads: d.gates.in, Writes: d.gates.out,
		})
	}
	dev, err := nvme.New(cfg)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, dev)
	for _, d := range c.drives {
		b.bootDrive(d, dev.Function(), unitNVMe(d.Address.Unit+1))
	}
	return b.plugFunction(c.Slot, c.Bus.String(), dev.Function(), dev)
}

// nvmeUUID names a controller's subsystem, the same at every start of the machine (RFC 9562, version 8).
func (m *Machine) nvmeUUID(bus config.Bus) (u [16]byte) {
	sum := sha256.Sum256(append(m.uuid[:], bus.String()...))
	copy(u[:], sum[:])
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return u
}
