package blk

import "encoding/binary"

// Feature bits (virtio 1.2, section 5.2.3).
const (
	featureSizeMax     = 1 << 1
	featureSegMax      = 1 << 2
	featureReadOnly    = 1 << 5
	featureBlockSize   = 1 << 6
	featureFlush       = 1 << 9
	featureTopology    = 1 << 10
	featureConfigWCE   = 1 << 11
	featureMultiQueue  = 1 << 12
	featureDiscard     = 1 << 13
	featureWriteZeroes = 1 << 14
)

// Limits that the device states in its configuration space and holds the guest to.
const (
	sectorSize = 512
	// maxSegmentSize bounds one segment of data in bytes. With the number of segments it bounds a request, and so the time that
	// a pause or reset waits for it.
	maxSegmentSize = 256 << 10
	// maxRanges is how many ranges one discard or write-zeroes request may name.
	maxRanges = 16
	// maxDiscardSectors and maxZeroSectors bound one such range. Zeroes may have to be written out one by one.
	maxDiscardSectors = 1 << 30 / sectorSize
	maxZeroSectors    = 64 << 20 / sectorSize
)

// Layout of struct virtio_blk_config (virtio 1.2, section 5.2.4): offsets in bytes.
const (
	configCapacity         = 0
	configSizeMax          = 8
	configSegMax           = 12
	configBlockSize        = 20
	configPhysicalExp      = 24
	configMinIO            = 26
	configWriteback        = 32
	configQueues           = 34
	configDiscardSectors   = 36
	configDiscardSegments  = 40
	configDiscardAlignment = 44
	configZeroSectors      = 48
	configZeroSegments     = 52
	configZeroMayUnmap     = 56
	configSize             = 60
)

// configSpace lays out the configuration space as it is now.
func (d *Device) configSpace() (c [configSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(c[configCapacity:], uint64(d.sectors.Load()))
	le.PutUint32(c[configSizeMax:], maxSegmentSize)
	le.PutUint32(c[configSegMax:], uint32(d.maxSegments()))
	le.PutUint32(c[configBlockSize:], uint32(d.blockSize))
	physical := max(d.blockSize, d.physicalSize)
	for size := d.blockSize; size < physical; size *= 2 {
		c[configPhysicalExp]++
	}
	le.PutUint16(c[configMinIO:], uint16(physical/d.blockSize))
	if d.writeback.Load() {
		c[configWriteback] = 1
	}
	le.PutUint16(c[configQueues:], uint16(d.queues))
	if !d.readOnly {
		le.PutUint32(c[configDiscardSectors:], maxDiscardSectors)
		le.PutUint32(c[configDiscardSegments:], maxRanges)
		le.PutUint32(c[configDiscardAlignment:], uint32(physical/sectorSize))
		le.PutUint32(c[configZeroSectors:], maxZeroSectors)
		le.PutUint32(c[configZeroSegments:], maxRanges)
		c[configZeroMayUnmap] = 1
	}
	return c
}

// Features are the feature bits that the device offers beside those of its transport.
func (d *Device) Features() uint64 {
	f := uint64(featureSizeMax | featureSegMax | featureBlockSize | featureFlush | featureTopology)
	if d.queues > 1 {
		f |= featureMultiQueue
	}
	if d.readOnly {
		return f | featureReadOnly
	}
	f |= featureDiscard | featureWriteZeroes
	if !d.writeThrough {
		f |= featureConfigWCE
	}
	return f
}

// maxSegments is how many segments of data one request may have: with header and status they fill a queue, or an indirect table as long.
func (d *Device) maxSegments() int { return d.queueSize - 2 }

// ConfigSize is the length of the configuration space in bytes.
func (d *Device) ConfigSize() uint32 { return configSize }

// ReadConfig fills p from off.
func (d *Device) ReadConfig(off uint32, p []byte) {
	c := d.configSpace()
	copy(p, c[off:])
}

// WriteConfig takes the driver's choice of cache mode, where it has one. Nothing else can be written.
func (d *Device) WriteConfig(off uint32, p []byte) {
	if off <= configWriteback && configWriteback < off+uint32(len(p)) && d.Features()&featureConfigWCE != 0 {
		d.writeback.Store(p[configWriteback-off] != 0)
	}
}
