package nvme

// Registers (section 3.1).
const (
	regCAP   = 0x00
	regVS    = 0x08
	regINTMS = 0x0c
	regINTMC = 0x10
	regCC    = 0x14
	regCSTS  = 0x1c
	regNSSR  = 0x20
	regAQA   = 0x24
	regASQ   = 0x28
	regACQ   = 0x30

	doorbells    = 0x1000
	doorbellsEnd = 0x1000 // from there
	tableBase    = 0x2000
	pendingBase  = 0x3000
	barSize      = 0x4000
)

// field is a register with its size in bytes. pulse marks one that acts on the bits that are written, and keeps nothing of them.
type field struct {
	off, size int
	pulse     bool
}

// fields are the registers.
var fields = [...]field{
	{regCAP, 8, false}, {regVS, 4, false}, {regINTMS, 4, true}, {regINTMC, 4, true}, {regCC, 4, false}, {regCSTS, 4, true}, {regNSSR, 4, true},
	{regAQA, 4, false}, {regASQ, 8, false}, {regACQ, 8, false},
}

const (
	version = 0x0001_0400 // 1.4

	pageSize = 4096 // the only one offered

	maxEntries  = 1024             // of an I/O queue
	maxAdmin    = 4096             // of an admin queue
	readyLimit  = 60               // CAP.TO in units of 500 ms: how long a disk may take to finish what a reset waits for
	maxTransfer = 512 << 10        // bytes of one command
	mdts        = 7                // that in powers of two pages
	capMQES     = maxEntries - 1   // maximum entries, zero based
	capCQR      = 1 << 16          // queues are contiguous
	capTO       = readyLimit << 24 // ready time-out
	capNSSRS    = 1 << 36          // subsystem reset
	capNVM      = 1 << 37          // the NVM command set

	capabilities = uint64(capMQES | capCQR | capTO | capNSSRS | capNVM)
)

// CC (section 3.1.5).
const (
	ccEnable   = 1
	ccSHN      = 3 << 14
	ccWritable = 0x00ff_fff1
)

// CSTS (section 3.1.6).
const (
	cstsReady    = 1
	cstsFatal    = 1 << 1
	cstsShutting = 1 << 2 // SHST: shutdown processing occurring
	cstsShutDown = 2 << 2 // SHST: shutdown processing complete
	cstsNSSRO    = 1 << 4
)

// nssrMagic is what resets the subsystem: "NVMe".
const nssrMagic = 0x4e56_4d65

// aqaWritable are the bits of both sizes of the admin queues.
const aqaWritable = 0x0fff_0fff
