package e1000

import "github.com/sharevm/vmm/devices/pci"

// Model is one of the two cards.
type Model uint8

// The models.
const (
	Model82545EM Model = iota // "e1000"
	Model82574L               // "e1000e"
)

const (
	vendorIntel  = 0x8086
	vendorVMware = 0x15ad
	classNetwork = 0x020000
)

// subsystems are those of VMware's cards, by device: an installed Windows knows its adapter by them too.
var subsystems = map[uint16]uint16{0x100f: 0x0750, 0x10d3: 0x07d0}

// model is what differs between the two.
type model struct {
	name        string
	device      uint16
	revision    uint8
	queues      int    // of each direction
	phy         uint32 // identity
	pages       bool   // the PHY has several pages
	eecd        uint32 // bits that always read as ones
	eerdAddress uint8  // shift of the address
	eerdDone    uint32
	causes      uint32 // of interrupts that there are
}

var models = map[Model]*model{
	Model82545EM: {
		name: "e1000", device: 0x100f, revision: 1, queues: 1, phy: 0x01410c20, eerdAddress: 8, eerdDone: 1 << 4, causes: 0x1ffff,
	},
	Model82574L: {
		name: "e1000e", device: 0x10d3, queues: 2, phy: 0x01410cb1, pages: true, eecd: eecdAutoRead, eerdAddress: 2, eerdDone: 1 << 1,
		causes: 0x1ffffff,
	},
}

// describe makes the PCI function of a card.
func (d *Device) describe(c *Config) error {
	m := d.model
	f := pci.NewFunction(c.Name, pci.Identity{
		Vendor: vendorIntel, Device: m.device, SubsystemVendor: vendorVMware, Subsystem: subsystems[m.device], Class: classNetwork, Revision: m.revision,
	})
	d.function = f
	f.UseINTx(1)
	steps := []func() error{
		func() error { return addPower(f) },
	}
	if m.queues == 1 {
		steps = append(steps,
			func() error { return f.AddBAR(0, pci.Mem64, memorySize, window{d}) },
			func() error { return f.AddBAR(4, pci.IO, 64, ports{d}) },
		)
	} else {
		steps = append(steps,
			func() error { return f.AddBAR(0, pci.Mem32, memorySize, window{d}) },
			func() error { return f.AddBAR(2, pci.IO, 32, ports{d}) },
			func() error { return f.AddBAR(3, pci.Mem32, 16<<10, nil) },
			func() (err error) {
				d.msi, err = f.AddMSI(c.MSI, 1, pci.MSI64)
				return err
			},
			func() error { return f.AddExpress(pci.IntegratedEndpoint, nil) },
			func() (err error) {
				d.msix, err = f.AddMSIX(c.MSI, msixVectors, 3, 0, 0x2000)
				return err
			},
		)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// addPower adds power management of D0 and D3hot that keeps the card's state (PCI Power Management 1.2, section 3.2).
func addPower(f *pci.Function) error {
	const (
		capPower      = 0x01
		version2      = 2
		noSoftReset   = 1 << 3
		stateBits     = 3
		capabilitySix = 6
	)
	body := make([]byte, capabilitySix)
	body[0], body[2] = version2, noSoftReset
	_, err := f.AddCapability(capPower, body, []byte{0, 0, stateBits})
	return err
}
