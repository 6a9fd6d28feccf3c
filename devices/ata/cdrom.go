package ata

import (
	"encoding/binary"

	"github.com/sharevm/vmm/devices/scsi"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/vmm/state"
)

// CDROMConfig says what a CD-ROM drive is made of.
type CDROMConfig struct {
	// Unit carries out the packets. It keeps sense data for REQUEST SENSE.
	Unit *scsi.CDROM
	// Model, Serial and Firmware identify the drive: at most 40, 20 and 8 bytes of ASCII.
	Model, Serial, Firmware string
	// SATA says that the drive hangs on a SATA port.
	SATA bool
	// Reads bounds how fast commands begin that read the disc; nil is no bound.
	Reads *throttle.Gate
}

// CDROM is a CD-ROM drive with the PACKET feature set.
type CDROM struct {
	cfg CDROMConfig
	cmd scsi.Command // one at a time: nothing is queued
}

// NewCDROM returns a drive.
func NewCDROM(c CDROMConfig) (*CDROM, error) {
	if err := checkIdentity(c.Model, c.Serial, c.Firmware); err != nil {
		return nil, err
	}
	return &CDROM{cfg: c}, nil
}

// Operation codes of packets whose length and direction matter here (SPC-4, MMC-6).
const (
	packetModeSelect6  = 0x15
	packetRead10       = 0x28
	packetModeSelect10 = 0x55
	packetRead12       = 0xa8
)

const (
	cdBlock = 2048
	// maxReply is the most that a packet other than a read returns, in bytes.
	maxReply = 64 << 10
)

// Packets implements Device.
func (d *CDROM) Packets() bool { return true }

// Reset implements Device.
func (d *CDROM) Reset(soft bool) Result {
	if !soft {
		d.cfg.Unit.Reset(scsi.PowerOn)
	}
	return packetSignature()
}

// packetSignature is what a packet device shows after a reset (ATA8-ACS, table 9). It is not ready for ATA commands then, which DRDY says.
func packetSignature() Result { return Result{Error: diagnosticPassed, Count: 1, LBA: 0xeb1401} }

// Decode implements Device.
func (d *CDROM) Decode(c *Command) {
	c.begin()
	switch c.Opcode {
	case opPacket:
		c.Protocol = Packet
	case opIdentifyPacket:
		c.Protocol, c.Length = PIOIn, SectorSize
	case opDeviceReset:
		c.Protocol = Reset
	case opDiagnostic, opSetFeatures, opFlush, opStandbyNow, opIdleNow, opStandby, opIdle, opCheckPower, opSleep:
	case opIdentify, opRead: // are refused with the signature, by which hosts know such a drive
		c.Result = packetSignature()
		c.Fail(ErrorAbort)
	default:
		c.Fail(ErrorAbort)
	}
}

// DecodePacket implements Device.
func (d *CDROM) DecodePacket(c *Command) {
	be, p := binary.BigEndian, &c.Packet
	c.Protocol, c.Length, c.Unit, c.Done = PacketIn, maxReply, 1, 0
	switch p[0] {
	case 0x00, 0x1b, 0x1e, 0x2b, 0x2f, 0x35, 0x4b, 0x4e, 0xa6, 0xbb:
		// TEST UNIT READY, START STOP, PREVENT REMOVAL, SEEK, VERIFY, SYNCHRONIZE CACHE, PAUSE, STOP, LOAD, SET SPEED
		c.Protocol, c.Length = PacketIn, 0
	case packetModeSelect6:
		c.Protocol, c.Length = PacketOut, int(p[4])
	case packetModeSelect10:
		c.Protocol, c.Length = PacketOut, int(be.Uint16(p[7:]))
	case packetRead10:
		c.Length, c.Unit = int(be.Uint16(p[7:]))*cdBlock, cdBlock
	case packetRead12:
		c.Length, c.Unit = int(min(be.Uint32(p[6:]), 1<<20))*cdBlock, cdBlock
	}
}

// Gate implements Device.
func (d *CDROM) Gate(c *Command) (*throttle.Gate, int64) {
	if c.Protocol == PacketIn && c.Unit == cdBlock {
		return d.cfg.Reads, int64(c.Length)
	}
	return nil, 0
}

// Execute implements Device.
func (d *CDROM) Execute(c *Command, data [][]byte) {
	switch {
	case c.finished:
	case c.Protocol == PacketIn || c.Protocol == PacketOut:
		d.packet(c, data)
	case c.Opcode == opIdentifyPacket:
		c.answer(data, d.identity)
	case c.Opcode == opDiagnostic:
		c.Result = packetSignature()
		c.succeed()
	case c.Opcode == opSetFeatures && (c.Features&0xff != featureTransferMode || !validTransfer(uint8(c.Count))):
		c.Fail(ErrorAbort)
	default:
		if c.Opcode == opCheckPower {
			c.Result.Count = powerActive
		}
		c.succeed()
	}
}

// packet hands a packet, or that part of a read for which there is room, to the command layer.
func (d *CDROM) packet(c *Command, data [][]byte) {
	u := &d.cmd
	u.Clear()
	copy(u.CDB[:], c.Packet[:])
	if c.Unit == cdBlock && c.Length > 0 {
		first, n := uint32(c.Done/cdBlock), uint32(length(data)/cdBlock)
		be := binary.BigEndian
		be.PutUint32(u.CDB[2:], be.Uint32(c.Packet[2:])+first)
		if c.Packet[0] == packetRead10 {
			be.PutUint16(u.CDB[7:], uint16(n))
		} else {
			be.PutUint32(u.CDB[6:], n)
		}
	}
	for _, p := range data {
		u.Add(p)
	}
	d.cfg.Unit.Execute(u)
	c.Done += u.Moved
	switch {
	case u.Status != scsi.Good:
		c.Fail(u.SenseKey() << 4)
	case c.Unit != cdBlock || u.Moved == 0 || c.Done >= c.Length:
		c.succeed()
	}
}

func (d *CDROM) identity(p page) {
	p.set(0, 0x85c0) // ATAPI, CD-ROM, removable, DRQ within 50 µs, packets of 12 bytes
	p.text(10, serialSize, d.cfg.Serial)
	p.text(23, firmwareSize, d.cfg.Firmware)
	p.text(27, modelSize, d.cfg.Model)
	p.set(49, 1<<8|1<<9|1<<11) // DMA, LBA, IORDY
	p.set(53, 1<<1|1<<2)
	p.set(63, 7)
	p.set(64, 3)
	for w := 65; w <= 68; w++ {
		p.set(w, 120)
	}
	if d.cfg.SATA {
		p.set(76, 1<<1|1<<2|1<<3)
	} else {
		p.set(93, 1<<14|1<<13|1<<0)
	}
	p.set(80, 0x1f0)
	p.set(82, 1<<4|1<<9|hasPower) // PACKET, DEVICE RESET
	p.set(83, wordIsValid)
	p.set(84, wordIsValid)
	p.set(85, 1<<4|1<<9|hasPower)
	p.set(87, wordIsValid)
	p.set(88, 0x3f|1<<13)
	p[510] = 0xa5
	p.seal()
}

// Save implements Device.
func (d *CDROM) Save(w *state.Writer) { d.cfg.Unit.Save(w) }

// Restore implements Device.
func (d *CDROM) Restore(r *state.Reader) error { return d.cfg.Unit.Restore(r) }
