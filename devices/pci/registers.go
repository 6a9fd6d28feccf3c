package pci

// Offsets in configuration space of a type 0 header (PCI 3.0, section 6.1).
const (
	regVendor       = 0x00
	regDevice       = 0x02
	regCommand      = 0x04
	regStatus       = 0x06
	regRevision     = 0x08
	regClass        = 0x09
	regCacheLine    = 0x0c
	regLatency      = 0x0d
	regHeaderType   = 0x0e
	regBAR0         = 0x10
	regSubVendor    = 0x2c
	regSubsystem    = 0x2e
	regCapabilities = 0x34
	regIntLine      = 0x3c
	regIntPin       = 0x3d

	firstCapability = 0x40  // device-dependent region
	legacySize      = 0x100 // what the ports reach
	configSize      = 0x1000
)

// Bits of the command and status registers.
const (
	commandIO          = 1 << 0
	commandMemory      = 1 << 1
	commandMaster      = 1 << 2
	commandParity      = 1 << 6
	commandSERR        = 1 << 8
	commandNoINTx      = 1 << 10
	statusInterrupt    = 1 << 3
	statusCapabilities = 1 << 4

	headerMultiFunction = 0x80
)

// Capability IDs (PCI Code and ID Assignment, section 2).
const (
	CapMSI     = 0x05
	CapVendor  = 0x09
	CapExpress = 0x10
	CapMSIX    = 0x11
)
