// Package mapped is the common ground of formats that keep a disk in blocks which a table places in a file: it moves data
// between the caller's buffers and the blocks, and it orders writes so that a crash at any moment leaves a sound image.
//
// The order at Flush is: data (and what must go with it), sync, table, sync, table of tables, sync. Between flushes new table entries
// live in memory only.
package mapped

// What Find returns for host when a run is not stored in the file.
const (
	Hole = -1 // not allocated: zeroes, or the parent's
	Zero = -2 // explicitly zeroes
)

// Table says where a disk's blocks are. A format implements it; Find must not block and must not allocate memory in the usual case.
// Offsets and lengths are bytes of the disk (off) or of the file (host), inside the disk's size.
type Table interface {
	// Find returns where off is stored and for how many bytes, up to length, the answer goes on in a straight line.
	// Host is a file offset, [Hole] or [Zero].
	Find(off, length int64) (host, n int64, err error)
	// Allocate is Find for a write: what was absent is placed in fresh file space that reads as zeroes. At most length bytes,
	// at least one. The new entries stay in memory until Collect.
	Allocate(off, length int64) (host, n int64, err error)
	// Collect takes what has to be written to publish all entries allocated so far. All data written to
	// them has reached the file. There is at least one stage; they are synced one after the other, the first together with the data.
	Collect() []Stage
	// Restore takes back stages whose writing failed, so that the next Collect returns them again.
	Restore([]Stage)
}

// Stage is a set of metadata writes without order among themselves.
type Stage []Patch

// Patch is one metadata write.
type Patch struct {
	Off  int64 // in the file
	Data []byte
}
