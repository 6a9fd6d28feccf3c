package fuse

import (
	"errors"
	"sync"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
)

// isFile reports whether node is the file.
func (f *fileSystem) isFile(node uint64) bool {
	return node == childNode && f.name != "" || node == rootNode && f.name == ""
}

// Open lets the kernel keep what it has read: nobody else changes the image.
func (f *fileSystem) Open(_ <-chan struct{}, in *gofuse.OpenIn, out *gofuse.OpenOut) gofuse.Status {
	if !f.isFile(in.NodeId) {
		return gofuse.EISDIR
	}
	if f.readOnly && in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return gofuse.EROFS
	}
	out.OpenFlags = gofuse.FOPEN_KEEP_CACHE
	return gofuse.OK
}

// result is what a read returns; it lasts until the kernel has it.
type result struct{ data []byte }

var results = sync.Pool{New: func() any { return new(result) }}

func (r *result) Bytes([]byte) ([]byte, gofuse.Status) { return r.data, gofuse.OK }
func (r *result) Size() int                            { return len(r.data) }

func (r *result) Done() {
	r.data = nil
	results.Put(r)
}

// Read fills buf as far as the disk goes.
func (f *fileSystem) Read(_ <-chan struct{}, in *gofuse.ReadIn, buf []byte) (gofuse.ReadResult, gofuse.Status) {
	if !f.isFile(in.NodeId) {
		return nil, gofuse.EISDIR
	}
	n := f.inside(in.Offset, uint64(len(buf)))
	if n > 0 {
		if _, err := f.image.ReadAt(buf[:n], int64(in.Offset)); err != nil {
			return nil, f.trouble("read", int64(in.Offset), err)
		}
	}
	r := results.Get().(*result)
	r.data = buf[:n]
	return r, gofuse.OK
}

// inside is how many of n bytes at off the disk has.
func (f *fileSystem) inside(off, n uint64) uint64 {
	size := uint64(f.image.Size())
	return min(n, size-min(off, size))
}

// Write stores what the disk has room for. Like a block device it is full at its end.
func (f *fileSystem) Write(_ <-chan struct{}, in *gofuse.WriteIn, data []byte) (uint32, gofuse.Status) {
	if !f.isFile(in.NodeId) || f.readOnly {
		return 0, gofuse.EROFS
	}
	n := f.inside(in.Offset, uint64(len(data)))
	if n == 0 && len(data) > 0 {
		return 0, gofuse.Status(syscall.ENOSPC)
	}
	f.touch()
	if _, err := f.image.WriteAt(data[:n], int64(in.Offset)); err != nil {
		return 0, f.trouble("write", int64(in.Offset), err)
	}
	return uint32(n), gofuse.OK
}

// touch notes that the file changes.
func (f *fileSystem) touch() {
	f.modified.Store(time.Now().UnixNano())
	f.stored.changed.Store(true)
}

// Fsync makes durable what was written. A close does not.
func (f *fileSystem) Fsync(_ <-chan struct{}, _ *gofuse.FsyncIn) gofuse.Status {
	if f.readOnly {
		return gofuse.OK
	}
	return f.trouble("flush", 0, f.image.Flush())
}

// Fallocate makes holes and zeroes. Space cannot be reserved.
func (f *fileSystem) Fallocate(_ <-chan struct{}, in *gofuse.FallocateIn) gofuse.Status {
	if !f.isFile(in.NodeId) || f.readOnly {
		return gofuse.EROFS
	}
	var unmap bool
	switch in.Mode &^ unix.FALLOC_FL_KEEP_SIZE {
	case unix.FALLOC_FL_PUNCH_HOLE:
		unmap = true
	case unix.FALLOC_FL_ZERO_RANGE:
	default:
		return gofuse.Status(syscall.EOPNOTSUPP)
	}
	n := f.inside(in.Offset, in.Length)
	if n < in.Length && in.Mode&unix.FALLOC_FL_KEEP_SIZE == 0 {
		return gofuse.Status(syscall.EFBIG)
	}
	if n == 0 {
		return gofuse.OK
	}
	f.touch()
	return f.trouble("write zeroes", int64(in.Offset), f.image.WriteZeroes(int64(in.Offset), int64(n), unmap))
}

// Lseek is lseek(2) with SEEK_DATA and SEEK_HOLE.
func (f *fileSystem) Lseek(_ <-chan struct{}, in *gofuse.LseekIn, out *gofuse.LseekOut) gofuse.Status {
	if !f.isFile(in.NodeId) || in.Whence != unix.SEEK_DATA && in.Whence != unix.SEEK_HOLE {
		return gofuse.EINVAL
	}
	size := uint64(f.image.Size())
	if in.Offset >= size {
		return gofuse.Status(syscall.ENXIO)
	}
	found := size // where a file ends there is a hole
	err := f.image.Extents(int64(in.Offset), int64(size-in.Offset), func(e disk.Extent) bool {
		if (e.Kind == disk.Data) != (in.Whence == unix.SEEK_DATA) {
			return true
		}
		found = uint64(e.Offset)
		return false
	})
	if err != nil {
		return f.trouble("map", int64(in.Offset), err)
	}
	if found == size && in.Whence == unix.SEEK_DATA {
		return gofuse.Status(syscall.ENXIO)
	}
	out.Offset = found
	return gofuse.OK
}

// Flush is called at each close(2), which promises nothing.
func (f *fileSystem) Flush(_ <-chan struct{}, _ *gofuse.FlushIn) gofuse.Status { return gofuse.OK }

// statusOf returns the error number for what an image returned.
func statusOf(err error) gofuse.Status {
	var e syscall.Errno
	switch {
	case errors.As(err, &e) && (e == syscall.ENOSPC || e == syscall.EDQUOT || e == syscall.ENOMEM):
		return gofuse.Status(e)
	case errors.Is(err, disk.ErrFull):
		return gofuse.Status(syscall.ENOSPC)
	case errors.Is(err, disk.ErrReadOnly):
		return gofuse.EROFS
	}
	return gofuse.EIO
}
