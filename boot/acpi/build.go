package acpi

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/vmm/memory"
)

// Revisions of the tables.
const (
	revisionRSDP = 2
	revisionXSDT = 1
	revisionFADT = 6
	revisionDSDT = 2 // integers have 64 bits
	revisionMADT = 5
	revisionMCFG = 1
	revisionHPET = 1
	revisionWAET = 1
	revisionTPM2 = 4
)

// Fields of the root pointer.
const (
	rsdpSize        = 36
	rsdpSumLen      = 20 // the first checksum's
	rsdpSum         = 8
	rsdpXSDT        = 24
	rsdpExtendedSum = 32
)

// Build makes the tables of the board.
func Build(c *Config) (*Set, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &Set{}
	root := s.add(rsdp())
	facs := s.add(facs())
	dsdt := s.add(newTable("DSDT", revisionDSDT, dsdt(c)))
	fadt := s.add(newTable("FACP", revisionFADT, fadt(c)))
	s.point(fadt, fadtFACS, 4, facs)
	s.point(fadt, fadtDSDT, 4, dsdt)
	s.point(fadt, fadtXDSDT, 8, dsdt)

	listed := []int{
		fadt,
		s.add(newTable("APIC", revisionMADT, madt(c))),
		s.add(newTable("MCFG", revisionMCFG, mcfg(c))),
		s.add(newTable("WAET", revisionWAET, waet())),
	}
	if c.HPET {
		listed = append(listed, s.add(newTable("HPET", revisionHPET, hpet())))
	}
	if c.TPM {
		t := s.add(newTable("TPM2", revisionTPM2, tpm2(c)))
		if c.TPMLogFile != "" {
			s.External = append(s.External, External{In: t, At: headerSize + tpm2Log, Size: 8, File: c.TPMLogFile})
		}
		listed = append(listed, t)
	}
	if c.GenerationFile != "" {
		body, at := generation(c)
		t := s.add(newTable("SSDT", revisionDSDT, body))
		s.External = append(s.External, External{In: t, At: headerSize + at, Size: 4, File: c.GenerationFile, Offset: c.GenerationOffset})
		listed = append(listed, t)
	}
	xsdt := s.add(newTable("XSDT", revisionXSDT, make([]byte, 8*len(listed))))
	for i, t := range listed {
		s.point(xsdt, headerSize+8*i, 8, t)
	}
	s.point(root, rsdpXSDT, 8, xsdt)
	return s, nil
}

// rsdp has no RSDT: the guests that this board starts know the XSDT.
func rsdp() Table {
	b := make([]byte, rsdpSize)
	copy(b, "RSD PTR ")
	copy(b[9:], oemID)
	b[15] = revisionRSDP
	binary.LittleEndian.PutUint32(b[20:], rsdpSize)
	return Table{Name: "RSDP", Data: b, Sums: []Sum{{rsdpSum, rsdpSumLen}, {rsdpExtendedSum, rsdpSize}}, Align: 16}
}

// facs is where firmware and guest share the global lock and the waking vector.
func facs() Table {
	const size, version = 64, 2
	b := make([]byte, size)
	copy(b, "FACS")
	binary.LittleEndian.PutUint32(b[offLength:], size)
	b[32] = version
	return Table{Name: "FACS", Data: b, Align: 64}
}

// wakingVector is the offset of the firmware waking vector in the FACS.
const wakingVector = 12

// WakingVector is the address at which a guest wants to wake in real mode, read from the FACS that Place has put into RAM; 0 is none. Where it is and what it
// holds is the guest's.
func WakingVector(mem *memory.Guest) (uint32, error) {
	b := make([]byte, layout.ACPISize)
	if err := mem.Read(layout.ACPI, b); err != nil {
		return 0, fmt.Errorf("acpi: read the waking vector: %w", err)
	}
	for at := 0; at+wakingVector+4 <= len(b); at += 64 {
		if string(b[at:at+4]) == "FACS" {
			return binary.LittleEndian.Uint32(b[at+wakingVector:]), nil
		}
	}
	return 0, errors.New("acpi: the guest has overwritten the FACS")
}
