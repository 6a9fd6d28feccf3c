package pci

import (
	"encoding/binary"

	"github.com/sharevm/vmm/vmm/bus"
)

// Ports of configuration mechanism #1 (PCI 3.0, section 3.2.2.3.2).
const (
	PortBase = 0xcf8
	PortSize = 8

	resetPort   = 0xcf9 - PortBase
	dataPort    = 0xcfc - PortBase
	latchEnable = 1 << 31
	latchBits   = 0x80fffffc // the others are hard-wired to zero
)

// Ports returns the device of the ports from PortBase: the address latch, the data window behind it, and 0xCF9. A guest that finds
// them prefers them to ECAM, at two exits for each access instead of one, so a board that needs no firmware may leave them out.
func (r *Root) Ports() bus.Device { return ports{r} }

type ports struct{ root *Root }

// Read implements bus.Device.
func (d ports) Read(off uint64, p []byte) {
	if off == 0 && len(p) == 4 {
		d.root.mu.Lock()
		defer d.root.mu.Unlock()
		binary.LittleEndian.PutUint32(p, d.root.latch)
		return
	}
	if off == resetPort && len(p) == 1 && d.root.cfg.Reset != nil {
		d.root.cfg.Reset.Read(0, p)
		return
	}
	for len(p) > 0 && off < dataPort { // only whole accesses reach the latch
		p[0] = 0xff
		off, p = off+1, p[1:]
	}
	if len(p) == 0 {
		return
	}
	b, slot, at, ok := d.target(off)
	if !ok {
		for i := range p {
			p[i] = 0xff
		}
		return
	}
	d.root.readConfig(b, slot, at, p)
}

// Write implements bus.Device.
func (d ports) Write(off uint64, p []byte) {
	if off == 0 && len(p) == 4 {
		d.root.mu.Lock()
		defer d.root.mu.Unlock()
		d.root.latch = binary.LittleEndian.Uint32(p) & latchBits
		return
	}
	if off == resetPort && len(p) == 1 && d.root.cfg.Reset != nil {
		d.root.cfg.Reset.Write(0, p)
		return
	}
	if skip := dataPort - int(off); skip > 0 {
		p = p[min(skip, len(p)):]
		off = dataPort
	}
	if len(p) == 0 {
		return
	}
	if b, slot, at, ok := d.target(off); ok {
		d.root.writeConfig(b, slot, at, p)
	}
}

// target takes the latch apart for an access at a data port.
func (d ports) target(off uint64) (busNumber uint8, slot, at int, ok bool) {
	d.root.mu.Lock()
	defer d.root.mu.Unlock()
	v := d.root.latch
	return uint8(v >> 16), int(v >> 8 & 0xff), int(v&0xfc) + int(off-dataPort), v&latchEnable != 0
}
