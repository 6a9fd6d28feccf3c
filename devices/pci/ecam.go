package pci

import "github.com/sharevm/vmm/vmm/bus"

// busSize is how much of the ECAM region belongs to one bus.
const busSize = 1 << 20

// ECAM returns the memory-mapped way into configuration space and its size, 1 MiB for each bus.
func (r *Root) ECAM() (dev bus.Device, size uint64) {
	return ecam{r}, uint64(r.cfg.Buses) * busSize
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
