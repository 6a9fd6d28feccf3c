package hda

// Registers of the controller (section 3.3), by their offsets in the BAR.
const (
	regGCAP     = 0x00
	regVMIN     = 0x02
	regVMAJ     = 0x03
	regOUTPAY   = 0x04
	regINPAY    = 0x06
	regGCTL     = 0x08
	regWAKEEN   = 0x0c
	regSTATESTS = 0x0e
	regGSTS     = 0x10
	regINTCTL   = 0x20
	regINTSTS   = 0x24
	regWALCLK   = 0x30
	regSSYNC    = 0x38
	regCORBBASE = 0x40 // 64 bits
	regCORBWP   = 0x48
	regCORBRP   = 0x4a
	regCORBCTL  = 0x4c
	regCORBSTS  = 0x4d
	regCORBSIZE = 0x4e
	regRIRBBASE = 0x50 // 64 bits
	regRIRBWP   = 0x58
	regRINTCNT  = 0x5a
	regRIRBCTL  = 0x5c
	regRIRBSTS  = 0x5d
	regRIRBSIZE = 0x5e
	regICOI     = 0x60
	regICII     = 0x64
	regICIS     = 0x68
	regDPBASE   = 0x70 // 64 bits
	regStreams  = 0x80
	regsEnd     = regStreams + streams*streamStride

	// The alias window (section 3.3.45) repeats the clock and the positions.
	regAlias = 0x2000
	barSize  = 0x4000
)

// Registers of a stream, by their offsets from its first.
const (
	sdCTL        = 0x00 // 24 bits
	sdSTS        = 0x03
	sdLPIB       = 0x04
	sdCBL        = 0x08
	sdLVI        = 0x0c
	sdFIFOS      = 0x10
	sdFMT        = 0x12
	sdBDP        = 0x18 // 64 bits
	streamStride = 0x20
)

const (
	inputs  = 4
	outputs = 4
	streams = inputs + outputs // the inputs come first

	gcapValue = outputs<<12 | inputs<<8 | 1 // 64-bit addresses

	gctlRunning = 1 << 0 // CRST: zero is reset
	gctlFlush   = 1 << 1
	gctlUnsol   = 1 << 8
	gstsFlushed = 1 << 1

	intGlobal     = 1 << 31
	intController = 1 << 30
	intStreams    = 1<<streams - 1

	corbError     = 1 << 0 // in CORBCTL its enable, in CORBSTS the status
	corbRun       = 1 << 1
	pointerReset  = 0x80 // in the upper byte of CORBRP and RIRBWP
	rirbInterrupt = 1 << 0
	rirbRun       = 1 << 1
	rirbOverrun   = 1 << 2
	ringEntries   = 256
	ringSize      = 0x42 // 256 entries, and no other size
	icisBusy      = 1 << 0
	icisValid     = 1 << 1
	dpEnable      = 1 << 0

	ctlReset   = 1 << 0
	ctlRun     = 1 << 1
	ctlIOC     = 1 << 2
	ctlFIFO    = 1 << 3
	ctlDesc    = 1 << 4
	ctlTag     = 20 // shift
	ctlTraffic = 1 << 18

	// In SDnSTS, each where its enable is in SDnCTL.
	stsComplete = 1 << 2
	stsFIFO     = 1 << 3
	stsDesc     = 1 << 4
	stsReady    = 1 << 5
	stsCauses   = stsComplete | stsFIFO | stsDesc

	fifoBytes = 192
	wallClock = 24_000_000 // Hz
)

// mask says what a guest may do with the bytes of the registers.
type mask struct {
	writable [regsEnd]byte
	clears   [regsEnd]byte // bits that it clears by writing ones
}

// masks is the mask of all registers.
var masks = makeMasks()

func makeMasks() (m mask) {
	set := func(p *[regsEnd]byte, at int, v uint64, n int) {
		for i := range n {
			p[at+i] = byte(v >> (8 * i))
		}
	}
	set(&m.writable, regGCTL, gctlRunning|gctlUnsol, 4)
	set(&m.writable, regWAKEEN, 1, 2)
	set(&m.clears, regSTATESTS, 1, 2)
	set(&m.clears, regGSTS, gstsFlushed, 2)
	set(&m.writable, regINTCTL, intGlobal|intController|intStreams, 4)
	set(&m.writable, regSSYNC, intStreams, 4)
	set(&m.writable, regCORBBASE, ^uint64(127), 8)
	set(&m.writable, regCORBWP, 0xff, 2)
	set(&m.writable, regCORBRP, pointerReset<<8, 2)
	set(&m.writable, regCORBCTL, corbError|corbRun, 1)
	set(&m.clears, regCORBSTS, corbError, 1)
	set(&m.writable, regRIRBBASE, ^uint64(127), 8)
	set(&m.writable, regRINTCNT, 0xff, 2)
	set(&m.writable, regRIRBCTL, rirbInterrupt|rirbRun|rirbOverrun, 1)
	set(&m.clears, regRIRBSTS, rirbInterrupt|rirbOverrun, 1)
	set(&m.writable, regICOI, 0xffff_ffff, 4)
	set(&m.clears, regICIS, icisValid, 2)
	set(&m.writable, regDPBASE, ^uint64(127)|dpEnable, 8)
	for i := range streams {
		at := regStreams + i*streamStride
		set(&m.writable, at+sdCTL, 0xf<<ctlTag|ctlTraffic|3<<16|ctlReset|ctlRun|ctlIOC|ctlFIFO|ctlDesc, 3)
		set(&m.clears, at+sdSTS, stsCauses, 1)
		set(&m.writable, at+sdCBL, 0xffff_ffff, 4)
		set(&m.writable, at+sdLVI, 0xff, 2)
		set(&m.writable, at+sdFMT, 0x7f7f, 2)
		set(&m.writable, at+sdBDP, ^uint64(127), 8)
	}
	return m
}
