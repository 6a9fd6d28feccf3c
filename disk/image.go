package disk

import "io"

// Image is a disk as its machine sees it: a linear array of bytes, whatever the file format beneath.
//
// All methods may be called concurrently; two overlapping writes in flight land in either order, as on real hardware.
// Offsets and lengths are bytes and need no alignment. An access that leaves [0, Size()) does nothing and
// returns an error that wraps [ErrOutOfRange]; it is never shortened.
type Image interface {
	// ReadAt fills p from off. Unlike a general io.ReaderAt it never returns short without an error.
	io.ReaderAt
	// WriteAt stores p at off. The data is durable only after a later Flush returned.
	io.WriterAt
	// Flush makes every write that completed before it was called durable.
	Flush() error
	// WriteZeroes makes [off, off+length) read as zeroes. With unmap the space may be given back to the host.
	WriteZeroes(off, length int64, unmap bool) error
	// Discard says that [off, off+length) is no longer needed. It is a hint: afterwards the range reads as
	// its old content, as zeroes, or as a mixture at the format's block granularity.
	Discard(off, length int64) error
	// Extents calls yield for consecutive ranges that together cover [off, off+length), in order, until yield returns false.
	Extents(off, length int64, yield func(Extent) bool) error
	// Size is the capacity in bytes, exact (never rounded to a disk geometry).
	Size() int64
	// Info describes the image for people and tools.
	Info() Info
	// Close flushes, marks the image clean, releases its locks and its files.
	Close() error
}

// VectorImage is implemented by images that can transfer straight between several buffers (guest pages) and the file.
type VectorImage interface {
	Image
	// ReadvAt is ReadAt into bufs in order; it returns the bytes transferred.
	ReadvAt(bufs [][]byte, off int64) (int, error)
	// WritevAt is WriteAt from bufs in order; it returns the bytes transferred.
	WritevAt(bufs [][]byte, off int64) (int, error)
}

// Extent is a run of bytes of one kind.
type Extent struct {
	Offset int64 // bytes from the start of the disk
	Length int64 // bytes
	Kind   ExtentKind
	// Host is the offset in the file that holds the data (Kind Data, uncompressed), or -1.
	Host int64
	// Depth is how many parents down the chain the range was found: 0 is this image's own.
	Depth int
}

// ExtentKind says how a range is stored.
type ExtentKind uint8

// The kinds of an Extent.
const (
	Hole ExtentKind = iota // not allocated anywhere in the chain: reads as zeroes
	Zero                   // allocated or marked explicitly as zeroes
	Data                   // stored bytes
)
