package scsi

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/vmm/state"
)

// Peripheral device types (SPC-4, table 138).
const (
	kindDisk  = 0x00
	kindCDROM = 0x05
)

// What the disks of VMware's virtual machines say they are: guests have licences and multipath rules that look at it.
const (
	diskVendor   = "VMware"
	diskProduct  = "Virtual disk"
	diskRevision = "2.0"
)

// Limits that the disk states in its block limits page and holds guests to.
const (
	maxTransfer    = 32 << 20 // bytes of one read, write or verify
	maxZeroes      = 64 << 20 // bytes of one WRITE SAME, which may have to be written out
	maxUnmap       = 1 << 30  // bytes of all ranges of one UNMAP
	maxUnmapRanges = 64
	// maxSerial keeps the serial number inside its pages.
	maxSerial = maxIdentifier - vendorLength - productLength
)

// DiskConfig says what a disk is made of.
type DiskConfig struct {
	// Image is the medium. It stays owned by the caller, who closes it after the disk is no longer used.
	Image disk.Image
	// Serial is the unit serial number, printable ASCII of at most 40 bytes.
	Serial string
	// ReadOnly refuses all writes. It is implied by an image that is read-only.
	ReadOnly bool
	// WriteThrough makes every write durable before it completes; the guest sees a disabled write cache that it can't enable.
	WriteThrough bool
	// Parallel claims a wide, synchronous parallel bus, which the drivers of such a bus negotiate by.
	Parallel bool
	// Log takes the errors of the image; nil discards them.
	Log *slog.Logger
}

// Disk is a direct access block device (SBC-3).
type Disk struct {
	unit
	image        disk.Image
	vector       disk.VectorImage // image, if it is one
	readOnly     bool
	writeThrough bool
	blockSize    int
	physicalExp  uint8 // logical blocks in a physical one, as a power of two
	blocks       atomic.Uint64
	cached       atomic.Bool // WCE of the caching page
	stopped      atomic.Bool // by START STOP UNIT
}

// NewDisk returns a disk on c.Image. No unit attention is pending: a virtual machine's disks are not plugged in while it starts, and guests warn
// of such.
func NewDisk(c DiskConfig) (*Disk, error) {
	info := c.Image.Info()
	d := &Disk{
		unit: unit{
			kind: kindDisk, parallel: c.Parallel, vendor: diskVendor, product: diskProduct, revision: diskRevision, serial: c.Serial, log: c.Log,
		},
		image: c.Image, readOnly: c.ReadOnly || info.ReadOnly, writeThrough: c.WriteThrough, blockSize: info.SectorSize,
	}
	d.vector, _ = c.Image.(disk.VectorImage)
	if d.log == nil {
		d.log = discard
	}
	if d.blockSize == 0 {
		d.blockSize = 512
	}
	switch {
	case d.blockSize != 512 && d.blockSize != 4096:
		return nil, fmt.Errorf("scsi: disk %s: logical blocks of %d bytes, must be 512 or 4096", info.Path, d.blockSize)
	case len(c.Serial) > maxSerial:
		return nil, fmt.Errorf("scsi: disk %s: serial number %q is longer than %d bytes", info.Path, c.Serial, maxSerial)
	case c.Image.Size() < int64(d.blockSize):
		return nil, fmt.Errorf("scsi: disk %s: %d bytes are less than a block", info.Path, c.Image.Size())
	}
	if d.blockSize == 512 {
		d.physicalExp = 3
	}
	d.blocks.Store(uint64(c.Image.Size()) / uint64(d.blockSize))
	d.Reset(NoAttention)
	return d, nil
}

// Reset implements Unit.
func (d *Disk) Reset(why Sense) {
	d.cached.Store(!d.writeThrough)
	d.stopped.Store(false)
	d.reset(why)
}

// diskOperations is filled by init: its functions lead back to it.
var diskOperations [256]operation[*Disk]

func init() {
	diskOperations = [256]operation[*Disk]{
		opTestUnitReady:  {none[*Disk], medium},
		opRequestSense:   {(*Disk).requestSense, always},
		opInquiry:        {(*Disk).inquire, always},
		opReportLUNs:     {func(_ *Disk, c *Command) { reportLUNs(c) }, always},
		opModeSense6:     {(*Disk).modeSense, 0},
		opModeSense10:    {(*Disk).modeSense, 0},
		opModeSelect6:    {(*Disk).modeSelect, 0},
		opModeSelect10:   {(*Disk).modeSelect, 0},
		opReserve6:       {none[*Disk], 0},
		opRelease6:       {none[*Disk], 0},
		opReserve10:      {none[*Disk], 0},
		opRelease10:      {none[*Disk], 0},
		opPreventRemoval: {none[*Disk], 0},
		opStartStop:      {(*Disk).startStop, 0},
		opSendDiagnostic: {(*Disk).diagnose, 0},
		opLogSense:       {(*Disk).logSense, 0},
		opReadCapacity10: {(*Disk).readCapacity10, medium},
		opServiceIn16:    {(*Disk).serviceIn, medium},
		opRead6:          {(*Disk).read, medium},
		opRead10:         {(*Disk).read, medium},
		opRead12:         {(*Disk).read, medium},
		opRead16:         {(*Disk).read, medium},
		opWrite6:         {(*Disk).write, medium},
		opWrite10:        {(*Disk).write, medium},
		opWrite12:        {(*Disk).write, medium},
		opWrite16:        {(*Disk).write, medium},
		opWriteVerify10:  {(*Disk).write, medium},
		opWriteVerify12:  {(*Disk).write, medium},
		opWriteVerify16:  {(*Disk).write, medium},
		opVerify10:       {(*Disk).verify, medium},
		opVerify12:       {(*Disk).verify, medium},
		opVerify16:       {(*Disk).verify, medium},
		opSeek10:         {(*Disk).look, medium},
		opPrefetch10:     {(*Disk).look, medium},
		opPrefetch16:     {(*Disk).look, medium},
		opSyncCache10:    {(*Disk).synchronize, medium},
		opSyncCache16:    {(*Disk).synchronize, medium},
		opWriteSame10:    {(*Disk).writeSame, medium},
		opWriteSame16:    {(*Disk).writeSame, medium},
		opUnmap:          {(*Disk).unmap, medium},
	}
}

// Execute implements Unit.
func (d *Disk) Execute(c *Command) { execute(&d.unit, &diskOperations, d, d.ready, c) }

// ready is what keeps the medium from being used.
func (d *Disk) ready() Sense {
	if d.stopped.Load() {
		return senseStopped
	}
	return senseNone
}

// Cost implements Unit.
func (d *Disk) Cost(c *Command) Cost {
	switch c.CDB[0] {
	case opRead6, opRead10, opRead12, opRead16, opVerify10, opVerify12, opVerify16:
		_, blocks := c.extent()
		return Cost{Reads, int64(min(blocks, maxTransfer/uint64(d.blockSize))) * int64(d.blockSize)}
	case opWrite6, opWrite10, opWrite12, opWrite16, opWriteVerify10, opWriteVerify12, opWriteVerify16:
		return Cost{Writes, int64(c.length)}
	case opWriteSame10, opWriteSame16:
		_, blocks := c.extent()
		return Cost{Writes, int64(min(blocks, maxZeroes/uint64(d.blockSize))) * int64(d.blockSize)}
	case opSyncCache10, opSyncCache16, opUnmap:
		return Cost{Kind: Writes}
	}
	return Cost{}
}

// Resized takes over a change of the image's size and tells the guest.
func (d *Disk) Resized() {
	d.blocks.Store(uint64(d.image.Size()) / uint64(d.blockSize))
	d.change(senseCapacityChanged)
}

// startStop serves START STOP UNIT (SBC-3, section 5.25). A disk's tray holds on to it.
func (d *Disk) startStop(c *Command) {
	if c.CDB[4]&0xf0 != 0 { // power conditions are hints
		return
	}
	if c.CDB[4]&2 != 0 { // load, eject
		c.failField(4)
		return
	}
	if start := c.CDB[4]&1 != 0; start {
		d.stopped.Store(false)
		return
	}
	if err := d.image.Flush(); err != nil {
		d.fault(c, err, 0, senseWriteFault)
		return
	}
	d.stopped.Store(true)
}

// diagnose serves the default self-test of SEND DIAGNOSTIC, which succeeds.
func (d *Disk) diagnose(c *Command) {
	if c.CDB[1]&0xe4 != 4 || c.allocation6() != 0 {
		c.failField(1)
	}
}

// logSense knows the page of supported pages only.
func (d *Disk) logSense(c *Command) {
	if c.CDB[2]&0x3f != 0 || c.CDB[3] != 0 {
		c.failField(2)
		return
	}
	c.reply([]byte{0, 0, 0, 1, 0}, c.allocation10())
}

func (d *Disk) readCapacity10(c *Command) {
	if binary.BigEndian.Uint32(c.CDB[2:]) != 0 || c.CDB[8]&1 != 0 {
		c.failField(2)
		return
	}
	var p [8]byte
	binary.BigEndian.PutUint32(p[0:], uint32(min(d.blocks.Load()-1, 0xffffffff)))
	binary.BigEndian.PutUint32(p[4:], uint32(d.blockSize))
	c.reply(p[:], len(p))
}

// serviceIn serves READ CAPACITY (16) (SBC-3, section 5.16).
func (d *Disk) serviceIn(c *Command) {
	if c.CDB[1]&0x1f != serviceReadCapacity {
		c.failField(1)
		return
	}
	var p [32]byte
	binary.BigEndian.PutUint64(p[0:], d.blocks.Load()-1)
	binary.BigEndian.PutUint32(p[8:], uint32(d.blockSize))
	p[13] = d.physicalExp
	if !d.readOnly {
		p[14] = 0x80 // LBPME: blocks can be unmapped; what they read as then is not promised
	}
	c.reply(p[:], int(binary.BigEndian.Uint32(c.CDB[10:])&0x7fffffff))
}

const (
	diskState   = "scsi-disk"
	diskVersion = 1
)

// Save implements Unit.
func (d *Disk) Save(w *state.Writer) {
	w.Version(diskState, diskVersion)
	w.U64(d.blocks.Load())
	w.Bool(d.cached.Load())
	w.Bool(d.stopped.Load())
	d.save(w)
}

// Restore implements Unit, for a disk of the same capacity.
func (d *Disk) Restore(r *state.Reader) error {
	r.Version(diskState, diskVersion)
	if n := r.U64(); n != d.blocks.Load() {
		r.Fail("the disk had %d blocks and now has %d", n, d.blocks.Load())
	}
	cached, stopped := r.Bool(), r.Bool()
	d.restore(r)
	if r.Err() != nil {
		return r.Err()
	}
	d.cached.Store(cached && !d.writeThrough)
	d.stopped.Store(stopped)
	return nil
}
