package ahci

// Generic host control (AHCI 1.3.1, section 3.1): offsets and bits.
const (
	hostCap     = 0x00
	hostControl = 0x04
	hostStatus  = 0x08
	hostPorts   = 0x0c
	hostVersion = 0x10

	portsAt  = 0x100
	portSize = 0x80

	capSlots   = (Slots - 1) << 8
	capOnly    = 1 << 18 // SAM: no legacy interface
	capSpeed   = 3 << 20 // 6 Gbit/s
	capClear   = 1 << 24 // SCLO
	capQueues  = 1 << 30 // SNCQ
	capWide    = 1 << 31 // S64A
	version131 = 0x00010301

	controlReset     = 1 << 0
	controlInterrupt = 1 << 1
	controlEnable    = 1 << 31 // always, since there is no legacy interface
)

// Port registers (section 3.3): offsets.
const (
	portCommandList     = 0x00
	portCommandListHigh = 0x04
	portFIS             = 0x08
	portFISHigh         = 0x0c
	portStatus          = 0x10
	portEnable          = 0x14
	portCommand         = 0x18
	portTask            = 0x20
	portSignature       = 0x24
	portLink            = 0x28
	portControl         = 0x2c
	portError           = 0x30
	portActive          = 0x34
	portIssue           = 0x38
)

// Bits of PxIS and PxIE.
const (
	intRegister  = 1 << 0 // DHRS
	intPIO       = 1 << 1 // PSS
	intDeviceBit = 1 << 3 // SDBS
	intConnect   = 1 << 6 // PCS, which follows PxSERR
	intPhy       = 1 << 22
	intOverflow  = 1 << 24 // OFS
	intBusFatal  = 1 << 29 // HBFS
	intTaskFile  = 1 << 30 // TFES
	intAll       = 0xfdc000ff
)

// Bits of PxCMD.
const (
	cmdStart      = 1 << 0  // ST
	cmdSpinUp     = 1 << 1  // SUD
	cmdPower      = 1 << 2  // POD
	cmdOverride   = 1 << 3  // CLO
	cmdReceive    = 1 << 4  // FRE
	cmdSlotShift  = 8       // CCS
	cmdReceiving  = 1 << 14 // FR
	cmdRunning    = 1 << 15 // CR
	cmdPacket     = 1 << 24 // ATAPI
	cmdLight      = 1 << 25 // DLAE
	cmdAlways     = cmdSpinUp | cmdPower
	cmdWritable   = cmdStart | cmdReceive | cmdPacket | cmdLight
	cmdHardwareIs = cmdReceiving | cmdRunning | 31<<cmdSlotShift
)

// PxSCTL and PxSSTS.
const (
	detMask    = 0xf
	detReset   = 1 // COMRESET for as long as it is written
	detOffline = 4
	linkUp     = 0x133 // a device, 6 Gbit/s, active
	linkOff    = 0x4
)

// PxSERR.
const (
	errorPhyChanged = 1 << 16 // DIAG.N
	errorExchanged  = 1 << 26 // DIAG.X
)

// Values without a device.
const (
	taskNone      = 0x7f
	signatureNone = 0xffffffff
)

// Layout of a command list entry, of a command table, and of a PRD (section 4.2).
const (
	headerSize   = 32
	headerLength = 0x1f // CFL, in dwords
	headerPacket = 1 << 5

	tableFIS    = 0x00
	tablePacket = 0x40
	tablePRDT   = 0x80
	prdSize     = 16
)

// Received FIS: offsets (section 4.2.1), and types.
const (
	receivedPIO      = 0x20
	receivedRegister = 0x40
	receivedSetBits  = 0x58

	fisToDevice  = 0x27
	fisToHost    = 0x34
	fisPIOSetup  = 0x5f
	fisSetBits   = 0xa1
	fisInterrupt = 1 << 6
	fisIn        = 1 << 5 // PIO setup: to the host
	fisCommand   = 1 << 7 // C: not device control
	fisLength    = 20
	fisReset     = 4 // SRST in the control byte
)
