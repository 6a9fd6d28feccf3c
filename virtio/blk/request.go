package blk

import (
	"encoding/binary"

	"github.com/sharevm/vmm/virtio/queue"
)

// Request types (virtio 1.2, section 5.2.6).
const (
	typeIn          = 0
	typeOut         = 1
	typeFlush       = 4
	typeGetID       = 8
	typeDiscard     = 11
	typeWriteZeroes = 13
)

// Values of the status byte (virtio 1.2, section 5.2.6).
const (
	statusOK          = 0
	statusIOError     = 1
	statusUnsupported = 2
)

const (
	headerSize = 16 // struct virtio_blk_req up to its data
	rangeSize  = 16 // struct virtio_blk_discard_write_zeroes
	idSize     = 20 // what VIRTIO_BLK_T_GET_ID returns at most
	flagUnmap  = 1  // in a range of write-zeroes

	kindNone = 1<<32 - 1 // stands for a type that the driver did not get to state
)

// request is one request of the guest in flight. It is reused, and with it the storage of its slices.
type request struct {
	lane  *lane
	chain queue.Chain

	// The header, copied once: the guest may rewrite its own at any time.
	kind   uint32
	offset int64    // bytes from the start of the disk
	length int      // bytes of data
	data   [][]byte // guest memory of the data alone

	ranges [maxRanges]zeroRange
	count  int // ranges in use

	status  []byte // where the status byte goes: one byte of guest memory
	result  byte   // what goes there
	written int    // bytes stored in guest memory, status excluded

	// next is the request that continues this one on the disk in the same direction; they travel as one transfer.
	next *request
	run  [][]byte // the data of all of them, while they travel
}

// zeroRange is one range of a discard or write-zeroes request.
type zeroRange struct {
	offset, length int64 // bytes
	unmap          bool
}

// parse takes the request in r.chain apart. It returns false when the chain has no room for a status byte, so that the
// driver cannot even be told of an error. Any other fault is noted in result.
func (d *Device) parse(r *request) bool {
	r.result, r.written, r.offset, r.length, r.count, r.data = statusOK, 0, 0, 0, 0, nil
	// A driver may cut a request into descriptors as it likes: only distances from both ends count (section 2.7.4).
	if r.status = r.chain.TakeLastByte(); r.status == nil {
		return false
	}
	var header [headerSize]byte
	if r.chain.CopyIn(header[:]) != headerSize {
		r.kind, r.result = kindNone, statusIOError
		return true
	}
	r.kind = binary.LittleEndian.Uint32(header[0:])
	sector := binary.LittleEndian.Uint64(header[8:])
	switch r.kind {
	case typeIn:
		r.data = r.chain.Writable
		r.transfer(sector, r.chain.WriteLen, d)
	case typeOut:
		r.data = r.chain.Readable
		r.transfer(sector, r.chain.ReadLen, d)
	case typeDiscard, typeWriteZeroes:
		r.parseRanges(d.sectors.Load())
	case typeFlush, typeGetID:
	default:
		r.result = statusUnsupported
	}
	if d.readOnly && (r.kind == typeOut || r.kind == typeDiscard || r.kind == typeWriteZeroes) {
		r.result = statusIOError
	}
	return true
}

// isTransfer says whether the request moves data between guest memory and the image.
func (r *request) isTransfer() bool {
	return r.result == statusOK && (r.kind == typeIn || r.kind == typeOut)
}

// reachesImage says whether the request has anything for the image to do, which may take its time.
func (r *request) reachesImage() bool { return r.result == statusOK && r.kind != typeGetID }

// runLength is how many bytes of data r and the requests that travel with it have.
func (r *request) runLength() int {
	n := 0
	for ; r != nil; r = r.next {
		n += r.length
	}
	return n
}

// continues says whether r goes on where last ends on the disk, in the same direction.
func (r *request) continues(last *request) bool {
	return last.isTransfer() && r.isTransfer() && r.kind == last.kind && r.offset == last.offset+int64(last.length)
}

// transfer checks the extent of a read or write.
func (r *request) transfer(sector, length uint64, d *Device) {
	sectors := d.sectors.Load()
	switch {
	case length%sectorSize != 0 || length > uint64(d.maxSegments()*maxSegmentSize),
		sector > sectors || length/sectorSize > sectors-sector:
		r.result = statusIOError
	default:
		r.offset, r.length = int64(sector*sectorSize), int(length)
	}
}

// parseRanges copies and checks the ranges of a discard or write-zeroes request against a disk of so many sectors.
func (r *request) parseRanges(sectors uint64) {
	length := r.chain.ReadLen
	if length == 0 || length%rangeSize != 0 || length > maxRanges*rangeSize {
		r.result = statusIOError
		return
	}
	known, limit := uint32(flagUnmap), uint64(maxZeroSectors)
	if r.kind == typeDiscard {
		known, limit = 0, maxDiscardSectors
	}
	for range length / rangeSize {
		var raw [rangeSize]byte
		r.chain.CopyIn(raw[:])
		sector := binary.LittleEndian.Uint64(raw[0:])
		n := uint64(binary.LittleEndian.Uint32(raw[8:]))
		flags := binary.LittleEndian.Uint32(raw[12:])
		switch {
		case flags&^known != 0:
			r.result = statusUnsupported
			return
		case n > limit || sector > sectors || n > sectors-sector:
			r.result = statusIOError
			return
		}
		r.ranges[r.count] = zeroRange{int64(sector * sectorSize), int64(n * sectorSize), flags&flagUnmap != 0}
		r.count++
	}
}
