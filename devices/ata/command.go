package ata

import (
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/vmm/state"
)

// Bits of the status register (ATA8-ACS, section 6.3).
const (
	StatusError   = 0x01 // ERR; CHK of a packet device
	StatusRequest = 0x08 // DRQ: data is waited for
	StatusSeek    = 0x10 // DSC, obsolete, and set by every drive that is ready
	StatusFault   = 0x20 // DF
	StatusReady   = 0x40 // DRDY
	StatusBusy    = 0x80 // BSY

	// StatusGood is that of a drive that waits for commands.
	StatusGood = StatusReady | StatusSeek
)

// Bits of the error register (ATA8-ACS, section 6.2).
const (
	ErrorAbort         = 0x04 // ABRT
	ErrorNotFound      = 0x10 // IDNF: the address is not on this medium
	ErrorUncorrectable = 0x40 // UNC
)

// diagnosticPassed is what the error register holds after a reset or EXECUTE DEVICE DIAGNOSTIC.
const diagnosticPassed = 0x01

// Bits of the device register.
const (
	DeviceSecond = 0x10 // DEV: the second drive of a cable
	deviceLBA    = 0x40
	deviceFUA    = 0x80 // of queued commands
	deviceFixed  = 0xa0 // obsolete bits that read as ones
	deviceHead   = 0x0f // address bits 27:24, or the head
)

// Registers are a command as the host hands it over (ATA8-ACS, section 6). Fields that a 28-bit command does not use may hold anything.
type Registers struct {
	Opcode   uint8
	Features uint16
	Count    uint16
	LBA      uint64 // 48 bits: low, mid and high, then what those registers held before
	Device   uint8
}

// Result is what the host finds in the registers afterwards.
type Result struct {
	Status, Error uint8
	Count         uint16
	LBA           uint64
	Device        uint8
}

// Protocol is the manner in which a command moves its data (ATA8-ACS, section 5).
type Protocol uint8

// The protocols.
const (
	NonData Protocol = iota
	PIOIn
	PIOOut
	DMAIn
	DMAOut
	QueuedIn  // NCQ
	QueuedOut // NCQ
	Packet    // the packet is still to come, and says more
	PacketIn  // a packet whose data, if any, goes to the host
	PacketOut
	Reset // DEVICE RESET: at once, and without an interrupt
)

// ToDevice says whether the host gives data.
func (p Protocol) ToDevice() bool {
	return p == PIOOut || p == DMAOut || p == QueuedOut || p == PacketOut
}

// Queued says whether commands of this protocol overlap.
func (p Protocol) Queued() bool { return p == QueuedIn || p == QueuedOut }

// PacketSize is how many bytes a packet has (IDENTIFY PACKET DEVICE, word 0).
const PacketSize = 12

// Command is one command on its way. It may be used again, and keeps its storage.
type Command struct {
	Registers
	// Packet is the packet of a PACKET command, copied once, for DecodePacket.
	Packet [PacketSize]byte

	// What Decode and DecodePacket found.

	Protocol Protocol
	Length   int // bytes of data at most; but for packets exactly
	Block    int // bytes that PIO moves for one interrupt
	Unit     int // bytes of which every part but the last has to be a multiple
	Tag      int // of a queued command

	// What Execute left.

	Result Result
	Done   int // bytes moved so far

	begun    bool // it has been decoded
	finished bool
	op       *operation
	medium   bool  // reads or writes sectors
	offset   int64 // bytes from the start of the disk
	extent   int   // bytes of the disk that are addressed
	durable  bool  // FUA
	scratch  []byte
}

// Finished says whether the command has come to its end and Result holds.
func (c *Command) Finished() bool { return c.finished }

// Start makes c a command that nobody has looked at yet.
func (c *Command) Start(r Registers) {
	*c = Command{Registers: r, scratch: c.scratch}
}

// begin forgets everything but the registers.
func (c *Command) begin() {
	c.begun = true
	c.Protocol, c.Length, c.Block, c.Unit, c.Tag, c.Done = NonData, 0, SectorSize, 1, 0, 0
	c.finished, c.op, c.medium, c.offset, c.extent, c.durable = false, nil, false, 0, 0, false
	c.Result = Result{Status: StatusGood, Count: c.Count & 0xff, LBA: c.LBA, Device: c.Device}
}

// succeed ends the command.
func (c *Command) succeed() { c.finished = true }

// Fail ends the command with bits in the error register.
func (c *Command) Fail(bits uint8) {
	c.Result.Status, c.Result.Error, c.finished = StatusGood|StatusError, bits, true
}

// room returns n bytes of the command's own, kept between its parts.
func (c *Command) room(n int) []byte {
	if len(c.scratch) < n {
		c.scratch = make([]byte, n)
	}
	return c.scratch[:n]
}

// Device is a drive: a [Disk] or a [CDROM].
type Device interface {
	// Decode says what c is about to do. It does not block. A command that the drive refuses is finished afterwards.
	Decode(c *Command)
	// DecodePacket does the same once the packet has come.
	DecodePacket(c *Command)
	// Gate is what a decoded command has to pass before it begins, nil if nothing, and what it costs there in bytes.
	Gate(c *Command) (g *throttle.Gate, cost int64)
	// Execute carries out c, or as much of it as data has room for; len(data) together is at most c.Length-c.Done. It may block.
	Execute(c *Command, data [][]byte)
	// Reset is a reset of the hardware, or with soft one by software. No command is on its way. What it returns is the signature.
	Reset(soft bool) Result
	// Packets says whether the drive takes packets.
	Packets() bool
	// Save and Restore are those of state.Device, for the controller to call.
	Save(w *state.Writer)
	Restore(r *state.Reader) error
}

// length is how many bytes data holds.
func length(data [][]byte) (n int) {
	for _, p := range data {
		n += len(p)
	}
	return n
}

// put stores p, of which done bytes have been, in data, and returns how many more that were.
func put(data [][]byte, p []byte, done int) (n int) {
	for _, d := range data {
		n += copy(d, p[min(done+n, len(p)):])
	}
	return n
}

// take fills p from done on with data, and returns how many bytes that were.
func take(data [][]byte, p []byte, done int) (n int) {
	for _, d := range data {
		n += copy(p[min(done+n, len(p)):], d)
	}
	return n
}
