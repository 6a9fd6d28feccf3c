package acpi

import (
	"encoding/binary"

	"github.com/sharevm/vmm/boot/layout"
)

// Interrupt controller structures (ACPI 6.5, section 5.2.12).
const (
	madtLAPIC     = 0
	madtIOAPIC    = 1
	madtOverride  = 2
	madtLAPICNMI  = 4
	madtX2APIC    = 9
	madtX2APICNMI = 10

	pcatCompatible = 1 // two 8259s are there as well
	enabled        = 1
	allLAPICs      = 0xFF
	allX2APICs     = 0xFFFFFFFF
	firstX2APIC    = 0xFF // ids from here on do not fit a local APIC structure
	nmiPin         = 1    // LINT1
	busISA         = 0
	isaTimer       = 0
	asOnBus        = 0   // polarity and trigger mode as the bus has them
	levelHigh      = 0xD // level-triggered, active high
)

// madt is the body of the multiple APIC description table.
func madt(c *Config) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, layout.LAPIC)
	b = le.AppendUint32(b, pcatCompatible)
	wide := false
	for cpu, id := range c.APICIDs {
		if id < firstX2APIC {
			b = append(b, madtLAPIC, 8, uint8(cpu), uint8(id))
			b = le.AppendUint32(b, enabled)
			continue
		}
		wide = true
		b = append(b, madtX2APIC, 16, 0, 0)
		for _, v := range []uint32{id, enabled, uint32(cpu)} {
			b = le.AppendUint32(b, v)
		}
	}
	b = append(b, madtIOAPIC, 12, layout.IOAPICID, 0)
	b = le.AppendUint32(b, layout.IOAPIC)
	b = le.AppendUint32(b, 0) // first GSI

	override := func(source uint8, gsi uint32, flags uint16) {
		b = append(b, madtOverride, 10, busISA, source)
		b = le.AppendUint32(b, gsi)
		b = le.AppendUint16(b, flags)
	}
	override(isaTimer, layout.GSIPITInIOAPIC, asOnBus)
	override(layout.GSISCI, layout.GSISCI, levelHigh)

	b = append(b, madtLAPICNMI, 6, allLAPICs)
	b = le.AppendUint16(b, asOnBus)
	b = append(b, nmiPin)
	if wide {
		b = append(b, madtX2APICNMI, 12)
		b = le.AppendUint16(b, asOnBus)
		b = le.AppendUint32(b, allX2APICs)
		b = append(b, nmiPin, 0, 0, 0)
	}
	return b
}
