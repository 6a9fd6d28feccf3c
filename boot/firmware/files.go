package firmware

import (
	"encoding/binary"
	"strings"

	"github.com/sharevm/vmm/boot/e820"
	"github.com/sharevm/vmm/boot/layout"
)

// Names of files that tell firmware about the machine.
const (
	FileMemoryMap    = "etc/e820"
	FileSMBIOSEntry  = "etc/smbios/smbios-anchor"
	FileSMBIOSTables = "etc/smbios/smbios-tables"
	FileSleepStates  = "etc/system-states"
	FileBootOrder    = "bootorder"
	FileBootMenu     = "etc/show-boot-menu"
	FileBootMenuWait = "etc/boot-menu-wait" // milliseconds, 16 bits
	FileTPMLog       = "etc/tpm/log"        // where a BIOS logs what it measures; TPMLogSize bytes
	FileSerial       = "etc/sercon-port"    // where SeaBIOS shows its text screen
)

// TPMLogSize is as much as the TCG's ACPI specification wants at least, in bytes.
const TPMLogSize = 64 << 10

// Numbers of items that tell firmware about the machine.
const (
	ItemUUID     = 0x0002 // 16 bytes, as in the SMBIOS table
	ItemMemory   = 0x0003 // bytes, 64 bits
	ItemNoScreen = 0x0004 // 16 bits, 1 for a machine without a display
	ItemCPUs     = 0x0005 // 16 bits
	ItemBootMenu = 0x000E // 16 bits, 1 to offer it
	ItemMaxCPUs  = 0x000F // 16 bits
)

// MemoryMap is the map of RAM that firmware makes its own map from.
func MemoryMap(l layout.Layout) []byte {
	var b []byte
	for _, w := range l.RAMWindows() {
		b = e820.Entry{Base: w.Base, Size: w.Size, Type: e820.RAM}.AppendTo(b)
	}
	return e820.Entry{Base: layout.IdentityMap, Size: layout.TSS + 3*layout.PageSize - layout.IdentityMap, Type: e820.Reserved}.AppendTo(b)
}

// SleepStates says which sleep states there are, by their number: bit 7, with the value of SLP_TYP.
func SleepStates(s3, s4 bool) []byte {
	const states, there = 6, 1 << 7
	b := make([]byte, states)
	b[0], b[3], b[4], b[5] = there, layout.SleepTypeS3, layout.SleepTypeS4, there|layout.SleepTypeS5
	if s3 {
		b[3] |= there
	}
	if s4 {
		b[4] |= there
	}
	return b
}

// BootOrder lists OpenFirmware paths.
func BootOrder(paths []string) []byte { return append([]byte(strings.Join(paths, "\n")), 0) }

// Number is a 16-bit value.
func Number(v int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(v)) }

// Shadow is the part of a BIOS that lies below 1 MiB too, and where.
func Shadow(code []byte) (address uint64, p []byte) {
	const most = 128 * layout.KiB
	p = code[max(0, len(code)-most):]
	return layout.HighMemory - uint64(len(p)), p
}
