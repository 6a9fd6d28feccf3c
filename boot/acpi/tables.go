package acpi

import (
	"encoding/binary"

	"github.com/sharevm/vmm/boot/layout"
)

// mcfg is the body of the table that says where the PCI Express configuration space is.
func mcfg(c *Config) []byte {
	le := binary.LittleEndian
	b := make([]byte, 8, 24) // reserved
	b = le.AppendUint64(b, c.Layout.ECAM.Base)
	b = le.AppendUint16(b, 0) // segment group
	return append(b, 0, uint8(c.PCIBuses-1), 0, 0, 0, 0)
}

// hpet is the body of the high precision event timer's table.
func hpet() []byte {
	const (
		blockID     = 0x8086A201 // Intel, 64-bit counter, three comparators, legacy replacement, revision 1
		spaceMemory = 0
		minimumTick = 100 // in ticks of the main counter, for periodic mode
	)
	le := binary.LittleEndian
	b := le.AppendUint32(nil, blockID)
	b = append(b, spaceMemory, 64, 0, 0)
	b = le.AppendUint64(b, layout.HPET)
	b = append(b, 0) // number
	b = le.AppendUint16(b, minimumTick)
	return append(b, 0) // no page protection
}

// waet tells Windows that one read of the PM timer is enough.
func waet() []byte {
	const pmTimerGood = 1 << 1
	return binary.LittleEndian.AppendUint32(nil, pmTimerGood)
}
