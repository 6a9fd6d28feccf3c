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
	// maxSegments is how many data segments one request may have; with header and status they fill a queue of 128.
	maxSegments = 126
	// maxSegmentSize bounds one segment in bytes.
	maxSegmentSize = 1 << 20
	// maxTransfer bounds one request, and with it the time that a pause or reset waits for it.
	maxTransfer = maxSegments * maxSegmentSize
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
	configOptIO            = 28
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
	le.PutUint32(c[configSegMax:], maxSegments)
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
