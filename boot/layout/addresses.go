package layout

// Sizes.
const (
	KiB = 1 << 10
	MiB = 1 << 20
	GiB = 1 << 30

	PageSize = 4 * KiB
)

// Guest-physical addresses below 1 MiB that a direct boot fills. All are RAM that the e820 map offers to the guest, which
// copies what it needs before it uses the rest, unless said otherwise.
const (
	GDT           = 0x1000              // global descriptor table of the boot processor
	StartInfo     = 0x6000              // PVH hvm_start_info, module list and memory map: one page
	ZeroPage      = 0x7000              // Linux boot_params: one page
	Stack         = 0x9000              // grows down from here; a page is free below it
	PageTables    = 0x9000              // PML4, PDPT and page directories
	Cmdline       = 0x20000             // kernel command line
	CmdlineSize   = 0x10000             // bytes reserved for it, the final zero included
	EBDA          = 0x9FC00             // extended BIOS data area: reserved up to VideoRAM
	VideoRAM      = 0xA0000             // VGA window: not RAM for the guest
	VideoRAMEnd   = 0xC0000             // first byte after it
	ACPI          = 0xE0000             // RSDP first, then the ACPI tables: reserved
	ACPISize      = SMBIOS - ACPI       // bytes
	SMBIOS        = 0xF0000             // SMBIOS 3 entry point first, then its structures: reserved
	SMBIOSSize    = HighMemory - SMBIOS // bytes
	HighMemory    = 0x100000            // RAM goes on here
	firstFourGiB  = 4 * GiB
	lowRAMLimit   = 0xB0000000 // RAM of this size and more is split,
	lowRAMIfSplit = 0x80000000 // at this address
)

// Guest-physical addresses of the hole below 4 GiB.
const (
	ECAM        = 0xB0000000 // PCI Express configuration space
	ECAMSize    = 256 * MiB  // 256 buses; a board may decode fewer
	MMIO32      = 0xC0000000 // 32-bit PCI window
	MMIO32End   = IOAPIC     // first byte after it
	IOAPIC      = 0xFEC00000
	HPET        = 0xFED00000
	HPETSize    = 0x400      // bytes
	TPM         = 0xFED40000 // TPM 2.0 CRB, locality 0
	TPMSize     = 0x1000
	TPMControl  = 0x40 // offset of its control area
	LAPIC       = 0xFEE00000
	IdentityMap = 0xFEFFC000 // one page for KVM_SET_IDENTITY_MAP_ADDR
	TSS         = 0xFEFFD000 // three pages for KVM_SET_TSS_ADDR
	Flash       = 0xFF000000 // firmware ends at 4 GiB; may begin as low as this
)

// I/O ports, and how many of each block.
const (
	PortPIC1, PortPIC1Size   = 0x20, 2
	PortPIT, PortPITSize     = 0x40, 4
	PortI8042Data            = 0x60
	PortSystemB              = 0x61 // speaker and PIT channel 2 gate, in KVM with the PIT
	PortI8042Command         = 0x64
	PortRTC, PortRTCSize     = 0x70, 4 // index and data of the clock and lower CMOS memory, then of the upper
	PortSystemA              = 0x92    // fast A20 and reset
	PortPIC2, PortPIC2Size   = 0xA0, 2
	PortSMI, PortSMISize     = 0xB2, 2     // APM control (ACPI enable, disable) and status
	PortELCR, PortELCRSize   = 0x4D0, 2    // edge/level control, in KVM
	PortPMBase, PortPMSize   = 0x600, 0x80 // ICH9 ACPI block
	PortPM1Event             = PortPMBase + 0x00
	PortPM1Control           = PortPMBase + 0x04
	PortPMTimer              = PortPMBase + 0x08
	PortGPE0, PortGPE0Size   = PortPMBase + 0x20, 16
	PortPCIAddress           = 0xCF8 // configuration mechanism 1
	PortReset                = 0xCF9 // reset control register, inside the range of configuration mechanism 1
	PortPCIData              = 0xCFC
	PortPCIWindow            = 0x1000 // I/O ports that BARs may use: from here
	PortPCIWindowEnd         = 0x10000
	SerialSize               = 8
	PortCOM1, PortCOM2       = 0x3F8, 0x2F8
	PortCOM3, PortCOM4       = 0x3E8, 0x2E8
	GSIKeyboard, GSIMouse    = 1, 12
	GSICOM1, GSICOM2         = 4, 3 // COM3 and COM4 share them
	GSIRTC, GSISCI           = 8, 9
	GSIPITInIOAPIC           = 2 // where the override sends ISA interrupt 0
	GSIPCIFirst, GSIPCICount = 16, 8
	IOAPICPins               = 24
)

// Values that the FADT and the DSDT promise and that the power management device obeys.
const (
	SMIEnableACPI  = 2 // written to PortSMI: hand the fixed hardware to the guest
	SMIDisableACPI = 3
	ResetHard      = 0xE  // written to PortReset: power cycle
	ResetPulse     = 0xFE // written to PortI8042Command: pulse the reset line
	SleepTypeS3    = 5    // SLP_TYP of PM1a control, as in the ICH9
	SleepTypeS4    = 6
	SleepTypeS5    = 7
	IOAPICID       = 0
)

// PCIGSI is the input of the IOAPIC that interrupt pin pin (0 is INTA) of a device in slot slot of bus 0 is wired to: neighbours
// use different ones.
func PCIGSI(slot, pin uint8) uint32 {
	return GSIPCIFirst + (uint32(slot)+uint32(pin))%GSIPCICount
}

// The PC board's chipset.
const (
	PIRQs      = 8    // interrupt lines A to H, wired to the IOAPIC from GSIPCIFirst on
	LPCSlot    = 0x1F // of bus 0
	LPCRouting = 0x60 // PIRQ[A-D]_ROUT in the LPC bridge's configuration space; E to H follow 8 bytes further on

	firstFixedSlot = 25
)

// PIRQ is the interrupt line that pin pin (0 is INTA) of a device in slot slot of bus 0 is wired to on the PC board. From slot 25 on pins A to D are lines A
// to D; those of the slots before rotate over lines E to H. Firmware that tells systems without ACPI of interrupts counts on it. Pins behind a
// bridge reach bus 0 as the bridge's.
func PIRQ(slot, pin uint8) int {
	if slot >= firstFixedSlot {
		return int(pin) & 3
	}
	return 4 + int(slot+pin)&3
}

// SerialPorts and SerialGSIs are the bases and interrupts of COM1 to COM4.
var (
	SerialPorts = [4]uint16{PortCOM1, PortCOM2, PortCOM3, PortCOM4}
	SerialGSIs  = [4]uint32{GSICOM1, GSICOM2, GSICOM1, GSICOM2}
)
