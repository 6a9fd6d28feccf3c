// Package e820 is the map of guest-physical memory that a guest is booted with: what is RAM and what to keep away from.
//
// The types and the 20-byte entries are those of INT 15h, AX=E820h (ACPI 6.5, section 15.1), which Linux's boot_params holds as
// they are (Documentation/arch/x86/zero-page.rst) and PVH's memory map uses the type numbers of.
package e820

import (
	"encoding/binary"

	"github.com/sharevm/vmm/boot/layout"
)

// Type says what a range of memory is.
type Type uint32

// The types of ranges.
const (
	RAM      Type = 1
	Reserved Type = 2
	ACPI     Type = 3 // ACPI tables: RAM once the guest has read them
	NVS      Type = 4 // to be kept over S4
)

// EntrySize is the size of an encoded Entry in bytes.
const EntrySize = 20

// Entry is a range of guest-physical memory.
type Entry struct {
	Base, Size uint64 // bytes
	Type       Type
}

// AppendTo appends the entry as INT 15h lays it out.
func (e Entry) AppendTo(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, e.Base)
	b = binary.LittleEndian.AppendUint64(b, e.Size)
	return binary.LittleEndian.AppendUint32(b, uint32(e.Type))
}

// Map returns the memory map for a board without firmware, in ascending order and without overlaps. Everything that it does not
// mention is free for PCI. The configuration space is reserved: Linux uses ECAM only where the map says so (PCI Firmware
// Specification 3.3, section 4.1.2).
func Map(l layout.Layout) []Entry {
	m := []Entry{
		{0, layout.EBDA, RAM},
		{layout.EBDA, layout.VideoRAM - layout.EBDA, Reserved},
		{layout.ACPI, layout.HighMemory - layout.ACPI, Reserved},
		{layout.HighMemory, l.Low.End() - layout.HighMemory, RAM},
		{l.ECAM.Base, l.ECAM.Size, Reserved},
		{layout.IdentityMap, layout.TSS + 3*layout.PageSize - layout.IdentityMap, Reserved},
	}
	if l.High.Size != 0 {
		m = append(m, Entry{l.High.Base, l.High.Size, RAM})
	}
	return m
}
