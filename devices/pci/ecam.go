package pci

import (
	"fmt"

	"github.com/sharevm/vmm/vmm/bus"
)

// busSize is how much of the ECAM region belongs to one bus.
const busSize = 1 << 20

// ECAM returns the memory-mapped way into configuration space and its size, 1 MiB for each bus.
func (r *Root) ECAM() (dev bus.Device, size uint64) {
	return ecam{r}, uint64(r.cfg.Buses) * busSize
}

// PlaceECAM maps the first buses MiB of the ECAM region at base, and unmaps what it has mapped before; 0 buses is nowhere. It takes no lock that an access
// to configuration space holds, so that a register can move the way by which it was reached.
func (r *Root) PlaceECAM(base uint64, buses int) error {
	r.ecam.Lock()
	defer r.ecam.Unlock()
	buses = min(buses, r.cfg.Buses)
	if r.ecam.base == base && r.ecam.buses == buses {
		return nil
	}
	if r.ecam.buses != 0 {
		if err := r.cfg.Memory.Unmap(r.ecam.base); err != nil {
			return fmt.Errorf("pci: configuration space: %w", err)
		}
		r.ecam.buses = 0
	}
	if buses == 0 {
		return nil
	}
	if err := r.cfg.Memory.Map(base, uint64(buses)*busSize, ecam{r}); err != nil {
		return fmt.Errorf("pci: configuration space: %w", err)
	}
	r.ecam.base, r.ecam.buses = base, buses
	return nil
}

// ECAMPlace says where PlaceECAM has put configuration space, and for how many buses.
func (r *Root) ECAMPlace() (base uint64, buses int) {
	r.ecam.Lock()
	defer r.ecam.Unlock()
	return r.ecam.base, r.ecam.buses
}

type ecam struct{ root *Root }

// Read implements bus.Device.
func (e ecam) Read(off uint64, p []byte) {
	for len(p) > 0 {
		n := min(configSize-int(off%configSize), len(p))
		e.root.readConfig(uint8(off/busSize), int(off/configSize%256), int(off%configSize), p[:n])
		off, p = off+uint64(n), p[n:]
	}
}

// Write implements bus.Device.
func (e ecam) Write(off uint64, p []byte) {
	for len(p) > 0 {
		n := min(configSize-int(off%configSize), len(p))
		e.root.writeConfig(uint8(off/busSize), int(off/configSize%256), int(off%configSize), p[:n])
		off, p = off+uint64(n), p[n:]
	}
}
