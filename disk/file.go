package disk

import (
	"io"
	"path/filepath"
	"time"
)

// File is one file of the host as a format uses it. Methods may be called concurrently. Offsets and lengths are bytes.
//
// Reading past the end of the file gives io.EOF with the bytes that there were, as os.File does; [ReadFull] turns a
// short read of metadata into a [FormatError].
type File interface {
	io.ReaderAt
	io.WriterAt
	// ReadvAt is ReadAt into several buffers in order (preadv).
	ReadvAt(bufs [][]byte, off int64) (int, error)
	// WritevAt is WriteAt from several buffers in order (pwritev).
	WritevAt(bufs [][]byte, off int64) (int, error)
	// Sync makes all completed writes and the file's size durable.
	Sync() error
	// Size is the present length.
	Size() (int64, error)
	// Truncate sets the length; new bytes read as zeroes.
	Truncate(size int64) error
	// Zero makes [off, off+length) read as zeroes without changing the file's length (what lies beyond the end already does).
	// With unmap the space is given back to the host where its file system can.
	Zero(off, length int64, unmap bool) error
	// Discard gives the space of [off, off+length) back if the host can do so at once, and else does nothing.
	// Afterwards the range reads as before or as zeroes.
	Discard(off, length int64) error
	// NextData returns the first run of stored bytes at or after off; start is the file's length when there is none.
	NextData(off int64) (start, end int64, err error)
	// Name is the path, for messages.
	Name() string
	Close() error
}

// ModTime returns when f was last changed, and false if its host does not say.
func ModTime(f File) (t time.Time, ok bool) {
	m, ok := f.(interface{ ModTime() (time.Time, error) })
	if !ok {
		return t, false
	}
	t, err := m.ModTime()
	return t, err == nil
}

// FileOptions says how [Files] opens a file.
type FileOptions struct {
	Write  bool // for reading and writing, excluding other writers
	Create bool // make it; it must not exist
	Shared bool // take no locks
	// Folder, if not empty, is where a relative path starts. The path must not lead outside it, not even by a symbolic link,
	// and must name a regular file.
	Folder string
	// AllowOutside lifts that restriction.
	AllowOutside bool
}

// Place is path as seen from the process's own folder, by which messages name the file and other parts open it again. What the file says of
// its own name will not do: whether it holds the folder depends on how the file was opened.
func (o FileOptions) Place(path string) string {
	if o.Folder == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(o.Folder, path)
}

// Files opens files. [HostFiles] is the real one.
type Files interface {
	Open(path string, o FileOptions) (File, error)
	Remove(path string) error
}

// ReadFull reads exactly len(p) bytes of metadata called what, and calls a file that ends before them truncated.
func ReadFull(f File, p []byte, off int64, what string) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		return Corrupt(f.Name(), off, "the file ends inside its %s (%d of %d bytes)", what, n, len(p))
	}
	return wrap(err, "read "+what, f)
}
