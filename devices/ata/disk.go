package ata

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/internal/throttle"
)

// SectorSize is the unit of everything but the medium, whose sectors may be larger.
const SectorSize = 512

// DiskConfig says what a disk is made of.
type DiskConfig struct {
	// Image is the medium. It stays owned by the caller.
	Image disk.Image
	// Model, Serial and Firmware identify the disk: at most 40, 20 and 8 bytes of ASCII.
	Model, Serial, Firmware string
	// ReadOnly refuses all writes. It is implied by an image that is read-only.
	ReadOnly bool
	// WriteThrough makes every write durable before it completes: the disk has no write cache.
	WriteThrough bool
	// SATA says that the disk hangs on a SATA port and can queue commands.
	SATA bool
	// Reads and Writes bound how fast commands begin; see Gate. nil is no bound.
	Reads, Writes *throttle.Gate
	// Log takes the errors of the image; nil discards them.
	Log *slog.Logger
}

// Disk is a hard disk.
type Disk struct {
	cfg     DiskConfig
	sector  int    // logical sector of the medium in bytes
	sectors uint64 // capacity in those

	mu   sync.Mutex
	mode mode
}

// maxLBA48 is the most sectors that a disk can have (ATA8-ACS, section 4.1.2).
const maxLBA48 = 1<<48 - 1

// NewDisk returns a disk on c.Image.
func NewDisk(c DiskConfig) (*Disk, error) {
	info := c.Image.Info()
	c.ReadOnly = c.ReadOnly || info.ReadOnly
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Disk{cfg: c, sector: info.SectorSize}
	if d.sector == 0 {
		d.sector = SectorSize
	}
	if d.sector != 512 && d.sector != 4096 {
		return nil, fmt.Errorf("ATA disk: logical sectors of %d bytes, must be 512 or 4096", d.sector)
	}
	if err := checkIdentity(c.Model, c.Serial, c.Firmware); err != nil {
		return nil, err
	}
	d.sectors = min(uint64(c.Image.Size())/uint64(d.sector), maxLBA48)
	d.mode = d.powerOn()
	return d, nil
}

// checkIdentity refuses strings that are too long for their fields.
func checkIdentity(model, serial, firmware string) error {
	for _, s := range []struct {
		name, value string
		most        int
	}{{"model", model, modelSize}, {"serial number", serial, serialSize}, {"firmware revision", firmware, firmwareSize}} {
		if len(s.value) > s.most {
			return fmt.Errorf("ATA drive: %s %q is longer than %d bytes", s.name, s.value, s.most)
		}
	}
	return nil
}

// Packets implements Device.
func (d *Disk) Packets() bool { return false }

// Reset implements Device.
func (d *Disk) Reset(soft bool) Result {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.mode
	d.mode = d.powerOn()
	if soft { // keeps what SET FEATURES chose (ATA8-ACS, section 7.50.1: reverting to defaults is off)
		d.mode.cache, d.mode.lookAhead, d.mode.transfer, d.mode.smart = before.cache, before.lookAhead, before.transfer, before.smart
	}
	return signature()
}

// signature is what a disk shows after a reset and after EXECUTE DEVICE DIAGNOSTIC (ATA8-ACS, table 9).
func signature() Result {
	return Result{Status: StatusGood, Error: diagnosticPassed, Count: 1, LBA: 1}
}

// DecodePacket implements Device: a disk takes no packets.
func (d *Disk) DecodePacket(c *Command) { c.Fail(ErrorAbort) }

// Gate implements Device.
func (d *Disk) Gate(c *Command) (g *throttle.Gate, cost int64) {
	switch {
	case c.finished:
		return nil, 0
	case c.medium:
		if c.Protocol.ToDevice() {
			return d.cfg.Writes, int64(c.Length)
		}
		return d.cfg.Reads, int64(c.Length)
	case c.Opcode == opFlush, c.Opcode == opFlushExt, c.Opcode == opDataSetManagement:
		return d.cfg.Writes, 0
	}
	return nil, 0
}

// mode is what commands change and resets bring back.
type mode struct {
	multiple  uint8 // sectors that READ and WRITE MULTIPLE move for an interrupt; 0 refuses these commands
	transfer  uint8 // as SET FEATURES has it: 0x20 is multiword DMA, 0x40 Ultra DMA
	cache     bool  // writes complete before they are durable
	lookAhead bool
	smart     bool
	standby   bool
	heads     uint8 // geometry of CHS addresses
	perTrack  uint8
	failed    ncqError
}

// ncqError is the NCQ command error log (ATA8-ACS, section A.14): of the command that ended queuing.
type ncqError struct {
	valid         bool
	tag           uint8
	status, error uint8
	lba           uint64
	count         uint16
	device        uint8
}

// Geometry that drives of more than 8 GB claim (ATA8-ACS, section 4.1.2: 16383 cylinders at most).
const (
	defaultHeads    = 16
	defaultPerTrack = 63
	maxCylinders    = 16383
)

// maxMultiple is the most sectors for an interrupt.
const maxMultiple = 16

func (d *Disk) powerOn() mode {
	return mode{
		multiple: 0, transfer: 0x45, cache: !d.cfg.WriteThrough && !d.cfg.ReadOnly, lookAhead: true, smart: true,
		heads: defaultHeads, perTrack: defaultPerTrack,
	}
}

// look copies the mode.
func (d *Disk) look() mode {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mode
}

// report logs an error of the image.
func (d *Disk) report(what string, c *Command, err error) {
	d.cfg.Log.Error("disk command failed; the guest sees an I/O error", "command", what, "offset", c.offset+int64(c.Done), "bytes", c.Length-c.Done, "error", err)
}
