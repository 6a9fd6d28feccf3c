// Package mapped is the common ground of formats that keep a disk in blocks which a table places in a file: it moves data
// between the caller's buffers and the blocks, reads through to a parent where the file has nothing, copies blocks up before
// a part of them is changed, and orders writes so that a crash at any moment leaves a sound image.
//
// The order at Flush is: data (and what must go with it), sync, table, sync, table of tables, sync. Between flushes new table entries
// live in memory only.
package mapped

// What Find returns for host when a run is not stored in the file as it is.
const (
	Hole   = -1 // not allocated: zeroes, or the parent's
	Zero   = -2 // explicitly zeroes
	Packed = -3 // compressed; see [Unpacker]
)

// Table says where a disk's blocks are. A format implements it; Find must not block and must not allocate memory in the usual case.
// Offsets and lengths are bytes of the disk (off) or of the file (host), inside the disk's size.
type Table interface {
	// Find returns where off is stored and for how many bytes, up to length, the answer goes on in a straight line.
	// Host is a file offset, [Hole], [Zero] or [Packed].
	Find(off, length int64) (host, n int64, err error)
	// Allocate is Find for a write: what was absent and reads as zeroes is placed in fresh file space that reads as zeroes. At
	// most length bytes, at least one. The new entries stay in memory until Collect.
	Allocate(off, length int64) (host, n int64, err error)
	// Collect takes what has to be written to publish all entries allocated so far. All data written to
	// them has reached the file. There is at least one stage; they are synced one after the other, the first together with the data.
	Collect() []Stage
	// Restore takes back stages whose writing failed, so that the next Collect returns them again.
	Restore([]Stage)
}

// Copier is a Table of an image that may have a parent or compressed blocks. A write to a run that is Packed, or Hole above a parent,
// goes: Place; what the write leaves of the first and last unit is copied from below; data; Adopt. Calls for the same unit never
// overlap in time, and no Collect comes between Place and Adopt.
type Copier interface {
	Table
	// Unit is the smallest piece, a power of two of bytes, of which Find can say something: a block where blocks are there or
	// not, a sector where each block has a bitmap.
	Unit() int64
	// Place takes room that reads as zeroes for the n first bytes of [off, off+length), all multiples of Unit (the last unit may reach
	// beyond the disk). Find does not see it yet.
	Place(off, length int64) (host, n int64, err error)
	// Adopt has Find answer host for [off, off+n), which Place returned, from now on.
	Adopt(off, n, host int64)
	// Forget takes back what Place returned, after a failure to fill it. It may hold any bytes.
	Forget(off, n, host int64)
}

// Zeroer is a Copier whose format can mark blocks as zeroes.
type Zeroer interface {
	Copier
	// MarkZero has Find answer Zero for [off, off+n), in whole units, which were Hole or Packed. Like Allocate's entries the marks
	// stay in memory until Collect.
	MarkZero(off, n int64) error
}

// Unpacker is a Copier with compressed blocks.
type Unpacker interface {
	Copier
	// Unpack fills p from off, all of which Find said is Packed. Where a block was adopted since, p gets what it holds now. What lies
	// beyond the disk's end reads as zeroes.
	Unpack(p []byte, off int64) error
}

// Stage is a set of metadata writes without order among themselves.
type Stage []Patch

// Patch is one metadata write.
type Patch struct {
	Off  int64 // in the file
	Data []byte
}
