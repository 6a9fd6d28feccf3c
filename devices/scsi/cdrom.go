package scsi

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/vmm/state"
)

// The drive that VMware's virtual machines have.
const (
	cdVendor   = "VMware"
	cdProduct  = "Virtual CDROM"
	cdRevision = "1.00"
)

const (
	cdBlock = 2048
	// maxCDTransfer bounds one read in bytes.
	maxCDTransfer = 16 << 20
	// maxCD is the most that a CD holds in bytes; a larger medium is a DVD.
	maxCD = 99 * 60 * 75 * cdBlock
)

// CDROMConfig says what a CD-ROM drive is made of.
type CDROMConfig struct {
	// Image is the disc, nil for an empty drive. It stays owned by the caller.
	Image disk.Image
	// Serial is the unit serial number, printable ASCII of at most 40 bytes.
	Serial string
	// Product replaces the product identification of INQUIRY, at most 16 bytes of ASCII.
	Product string
	// KeepSense keeps the sense data of a command for REQUEST SENSE to fetch, as ATAPI needs.
	KeepSense bool
	// Parallel is as for a disk.
	Parallel bool
	// Log takes the errors of the image; nil discards them.
	Log *slog.Logger
}

// CDROM is a CD and DVD reader (MMC-6).
type CDROM struct {
	unit

	tray   sync.RWMutex // guards what follows; held for reading while the image is in use
	image  disk.Image   // what the host has inserted, nil if nothing
	vector disk.VectorImage
	open   bool // the guest has ejected the medium
	locked bool // the guest prevents removal
	event  uint8
}

// Media events (MMC-6, table 350).
const (
	eventNone    = 0
	eventNew     = 2
	eventRemoved = 3
)

// NewCDROM returns a drive with c.Image in it, with a unit attention pending as after power-on.
func NewCDROM(c CDROMConfig) (*CDROM, error) {
	d := &CDROM{unit: unit{
		kind: kindCDROM, removable: true, parallel: c.Parallel, keepSense: c.KeepSense, vendor: cdVendor, product: cdProduct, revision: cdRevision,
		serial: c.Serial, log: c.Log,
	}}
	if c.Product != "" {
		d.product = c.Product
	}
	if d.log == nil {
		d.log = discard
	}
	if len(c.Serial) > maxSerial || len(c.Product) > productLength {
		return nil, fmt.Errorf("scsi: CD-ROM drive: serial number %q or product %q is too long", c.Serial, c.Product)
	}
	d.load(c.Image)
	d.event = eventNone
	d.Reset(PowerOn)
	return d, nil
}

// load puts image into the drive, or nothing.
func (d *CDROM) load(image disk.Image) {
	d.image = image
	d.vector, _ = image.(disk.VectorImage)
	d.open = false
	d.event = eventNew
	if image == nil {
		d.event = eventRemoved
	}
}

// Insert puts another disc into the drive, or none, whether the guest has locked it or not, and tells the guest. It returns the disc that
// was there, which is no longer used then.
func (d *CDROM) Insert(image disk.Image) (old disk.Image) {
	d.tray.Lock()
	defer d.tray.Unlock()
	old = d.image
	d.load(image)
	d.change(senseMediumChanged)
	return old
}

// Present says whether a disc is in the drive that the guest can read.
func (d *CDROM) Present() bool {
	d.tray.RLock()
	defer d.tray.RUnlock()
	return d.image != nil && !d.open
}

// Reset implements Unit.
func (d *CDROM) Reset(why Sense) {
	d.tray.Lock()
	defer d.tray.Unlock()
	d.locked = false
	d.reset(why)
}

// cdOperations is filled by init: its functions lead back to it.
var cdOperations [256]operation[*CDROM]

func init() {
	cdOperations = [256]operation[*CDROM]{
		opTestUnitReady:    {none[*CDROM], medium},
		opRequestSense:     {(*CDROM).requestSense, always},
		opInquiry:          {(*CDROM).inquire, always},
		opReportLUNs:       {func(_ *CDROM, c *Command) { reportLUNs(c) }, always},
		opGetConfiguration: {(*CDROM).configuration, always},
		opGetEventStatus:   {(*CDROM).eventStatus, always},
		opModeSense6:       {(*CDROM).modeSense, 0},
		opModeSense10:      {(*CDROM).modeSense, 0},
		opModeSelect6:      {(*CDROM).modeSelect, 0},
		opModeSelect10:     {(*CDROM).modeSelect, 0},
		opStartStop:        {(*CDROM).startStop, 0},
		opPreventRemoval:   {(*CDROM).preventRemoval, 0},
		opSendDiagnostic:   {none[*CDROM], 0},
		opSetCDSpeed:       {none[*CDROM], 0},
		opReserve6:         {none[*CDROM], 0},
		opRelease6:         {none[*CDROM], 0},
		opReserve10:        {none[*CDROM], 0},
		opRelease10:        {none[*CDROM], 0},
		opMechanismStatus:  {(*CDROM).mechanism, 0},
		opReadCapacity10:   {(*CDROM).readCapacity, medium},
		opRead6:            {(*CDROM).read, medium},
		opRead10:           {(*CDROM).read, medium},
		opRead12:           {(*CDROM).read, medium},
		opReadCD:           {(*CDROM).readCD, medium},
		opReadCDMSF:        {(*CDROM).readCDMSF, medium},
		opSeek10:           {(*CDROM).seek, medium},
		opVerify10:         {(*CDROM).seek, medium},
		opSyncCache10:      {none[*CDROM], medium},
		opReadTOC:          {(*CDROM).readTOC, medium},
		opReadDiscInfo:     {(*CDROM).discInfo, medium},
		opReadTrackInfo:    {(*CDROM).trackInfo, medium},
		opReadDVDStructure: {(*CDROM).dvdStructure, medium},
	}
}

// Execute implements Unit.
func (d *CDROM) Execute(c *Command) {
	if c.CDB[0] == opStartStop || c.CDB[0] == opPreventRemoval || c.CDB[0] == opGetEventStatus { // these change the tray's state
		d.tray.Lock()
		defer d.tray.Unlock()
	} else {
		d.tray.RLock()
		defer d.tray.RUnlock()
	}
	execute(&d.unit, &cdOperations, d, d.ready, c)
}

// ready is what keeps the medium from being used. d.tray is held, as it is in all that Execute calls.
func (d *CDROM) ready() Sense {
	switch {
	case d.open:
		return senseTrayOpen
	case d.image == nil:
		return senseNoMedium
	}
	return senseNone
}

// blocks is the capacity of the medium; a last block that the image has only a part of does not count.
func (d *CDROM) blocks() uint64 { return uint64(d.image.Size()) / cdBlock }

// Cost implements Unit.
func (d *CDROM) Cost(c *Command) Cost {
	switch c.CDB[0] {
	case opRead6, opRead10, opRead12, opReadCD, opReadCDMSF:
		return Cost{Reads, int64(min(c.length, maxCDTransfer))}
	}
	return Cost{}
}

// startStop serves START STOP UNIT (MMC-6, section 6.42): the tray goes in and out unless it is locked.
func (d *CDROM) startStop(c *Command) {
	load, start := c.CDB[4]&2 != 0, c.CDB[4]&1 != 0
	switch {
	case c.CDB[4]&0xf0 != 0 || !load: // power conditions, and the motor, which always turns
	case start:
		if d.open {
			d.load(d.image)
			if d.image != nil {
				d.change(senseMediumChanged)
			}
		}
	case d.locked:
		c.fail(senseLocked)
	case !d.open:
		d.open, d.event = true, eventRemoved
	}
}

func (d *CDROM) preventRemoval(c *Command) {
	d.locked = c.CDB[4]&1 != 0
}

const (
	cdState   = "scsi-cdrom"
	cdVersion = 1
)

// Save implements Unit.
func (d *CDROM) Save(w *state.Writer) {
	d.tray.RLock()
	defer d.tray.RUnlock()
	w.Version(cdState, cdVersion)
	size := int64(-1)
	if d.image != nil {
		size = d.image.Size()
	}
	w.U64(uint64(size))
	w.Bool(d.open)
	w.Bool(d.locked)
	w.U8(d.event)
	d.save(w)
}

// Restore implements Unit. A disc of another size, or none any more, is told to the guest as a change of medium.
func (d *CDROM) Restore(r *state.Reader) error {
	d.tray.Lock()
	defer d.tray.Unlock()
	r.Version(cdState, cdVersion)
	size := int64(r.U64())
	open, locked, event := r.Bool(), r.Bool(), r.U8()
	if event > eventRemoved {
		r.Fail("media event %d", event)
	}
	d.restore(r)
	if r.Err() != nil {
		return r.Err()
	}
	d.open, d.locked, d.event = open, locked, event
	now := int64(-1)
	if d.image != nil {
		now = d.image.Size()
	}
	if now != size {
		d.load(d.image)
		d.change(senseMediumChanged)
	}
	return nil
}

// readCapacity answers READ CAPACITY (MMC-6, section 6.27).
func (d *CDROM) readCapacity(c *Command) {
	var p [8]byte
	binary.BigEndian.PutUint32(p[0:], uint32(max(d.blocks(), 1)-1))
	binary.BigEndian.PutUint32(p[4:], cdBlock)
	c.reply(p[:], len(p))
}
