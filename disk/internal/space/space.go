// Package space holds what formats share above their tables: the storage that an image consists of, and the checks in front of it.
package space

import "github.com/sharevm/vmm/disk"

// Space is a stretch of a disk's storage, from 0 to a size that its user knows. Callers stay inside it. A mapped.Store is one, and so is a [Flat].
type Space interface {
	ReadAt(p []byte, off int64) (int, error)
	ReadvAt(bufs [][]byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	WritevAt(bufs [][]byte, off int64) (int, error)
	WriteZeroes(off, length int64, unmap bool) error
	Discard(off, length int64) error
	// Extents reports [off, off+length) with base added to the offsets, and false once yield did.
	Extents(off, length, base int64, yield func(disk.Extent) bool) (bool, error)
	Flush() error
}
