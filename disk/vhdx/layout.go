package vhdx

import (
	"fmt"
	"math/bits"
)

const (
	pageSize       = 4 * kib // of metadata, as the log takes it
	entriesPerPage = pageSize / 8
	// bitmapBlock is the length of a sector bitmap block; it has a bit for each sector of a chunk.
	bitmapBlock = mib
	chunkShift  = 23 // of the sectors of a chunk
)

// States of a block (2.5.1). Sector bitmap blocks are notPresent or fullyPresent.
const (
	notPresent       = 0
	undefined        = 1
	zero             = 2
	unmapped         = 3
	fullyPresent     = 6
	partiallyPresent = 7
)

// entry is an entry of the block allocation table.
type entry uint64

const (
	stateMask  = 7
	offsetMask = ^entry(mib - 1)
)

func newEntry(state int, offset int64) entry { return entry(offset) | entry(state) }

func (e entry) state() int { return int(e & stateMask) }

// offset is the block's place in the file in bytes, if its state gives it one. It may exceed any file: 64 bits without a sign.
func (e entry) offset() uint64 { return uint64(e & offsetMask) }

// stored says whether the block takes room in the file.
func (e entry) stored() bool { return e.state() >= fullyPresent }

// layout is how a disk is divided into blocks and chunks of blocks (2.4).
type layout struct {
	size       int64 // bytes of the disk
	sector     int64 // logical sector, bytes
	blockShift uint  // of a block in bytes
	ratioShift uint  // of a chunk in blocks
	parent     bool
}

func newLayout(m *metadata) layout {
	l := layout{size: m.size, sector: m.sector, blockShift: uint(bits.TrailingZeros64(uint64(m.blockSize))), parent: m.locator != nil}
	l.ratioShift = chunkShift + uint(bits.TrailingZeros64(uint64(m.sector))) - l.blockShift
	return l
}

func (l layout) blockSize() int64 { return 1 << l.blockShift }

func (l layout) blocks() int64 { return (l.size + l.blockSize() - 1) >> l.blockShift }

func (l layout) chunks() int64 { return (l.blocks() + 1<<l.ratioShift - 1) >> l.ratioShift }

// entries is how long the table has to be (2.5).
func (l layout) entries() int64 {
	switch {
	case l.blocks() == 0:
		return 0
	case l.parent:
		return l.chunks() * (1<<l.ratioShift + 1)
	}
	return l.blocks() + (l.blocks()-1)>>l.ratioShift
}

// index is the table entry of a block, in whose chunk the blocks come first.
func (l layout) index(block int64) int64 { return block + block>>l.ratioShift }

// bitmapIndex is the table entry of a chunk's sector bitmap.
func (l layout) bitmapIndex(chunk int64) int64 { return chunk<<l.ratioShift + chunk + 1<<l.ratioShift }

// at is the reverse of index and bitmapIndex.
func (l layout) at(index int64) (number int64, isBitmap bool) {
	chunk, in := index/(1<<l.ratioShift+1), index%(1<<l.ratioShift+1)
	if in == 1<<l.ratioShift {
		return chunk, true
	}
	return chunk<<l.ratioShift + in, false
}

// sliceBytes is how much of its chunk's sector bitmap belongs to a block: from 32 bytes to 64 KiB.
func (l layout) sliceBytes() int64 { return l.blockSize() / l.sector / 8 }

// slice is where in its chunk's sector bitmap a block's bits begin, in bytes.
func (l layout) slice(block int64) int64 { return block & (1<<l.ratioShift - 1) * l.sliceBytes() }

// sizeOf is how much of the file the block of entry number index takes.
func (l layout) sizeOf(index int64) int64 {
	if _, isBitmap := l.at(index); isBitmap {
		return bitmapBlock
	}
	return l.blockSize()
}

// stray says whether entry number index is of no use, whatever it says: a block behind the end of the disk, or a sector bitmap without a parent.
func (l layout) stray(index int64) bool {
	number, isBitmap := l.at(index)
	return isBitmap && !l.parent || !isBitmap && number >= l.blocks()
}

// misplaced says why entry number index cannot be, in a file of length bytes with regions r, or returns "".
func (l layout) misplaced(index int64, e entry, length int64, r *regions) string {
	number, isBitmap := l.at(index)
	what, size := "block", l.blockSize()
	if isBitmap {
		what, size = "sector bitmap", bitmapBlock
	} else {
		size = min(size, l.size-number<<l.blockShift)
	}
	switch state := e.state(); {
	case l.stray(index):
		return ""
	case state == 4 || state == 5 || isBitmap && state != notPresent && state != fullyPresent:
		return fmt.Sprintf("%s %d has the unknown state %d", what, number, state)
	case !l.parent && state == partiallyPresent:
		return fmt.Sprintf("%s %d has state %d, which only a disk with a parent has", what, number, state)
	case !e.stored():
		return ""
	case e.offset() > uint64(length) || int64(e.offset()) > length-size:
		return fmt.Sprintf("%s %d lies at byte %d, beyond the end of the file (%d)", what, number, e.offset(), length)
	}
	if g := r.overlap(int64(e.offset()), int64(e.offset())+size); g != nil {
		return fmt.Sprintf("%s %d at byte %d overlaps %s", what, number, e.offset(), g.what)
	}
	return ""
}
