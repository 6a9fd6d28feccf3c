package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// HostFiles opens files of the operating system, with the byte-range locks that qemu uses.
type HostFiles struct{}

// Remove deletes path.
func (HostFiles) Remove(path string) error { return os.Remove(path) }

// Open opens path; see [FileOptions]. Without a Folder a block device is accepted as well as a regular file.
func (HostFiles) Open(path string, o FileOptions) (File, error) {
	flag := os.O_RDONLY
	if o.Write {
		flag = os.O_RDWR
	}
	if o.Create {
		flag |= os.O_CREATE | os.O_EXCL
	}
	// A FIFO would block here until somebody opened its other end; with O_NONBLOCK it opens, and is refused below.
	flag |= unix.O_NONBLOCK

	f, err := openIn(path, flag, o)
	if err != nil {
		return nil, err
	}
	h, err := newHostFile(f, o.Place(path), o)
	if err != nil {
		f.Close()
		return nil, err
	}
	return h, nil
}

func openIn(path string, flag int, o FileOptions) (*os.File, error) {
	if o.Folder == "" {
		return os.OpenFile(path, flag, 0o644)
	}
	if o.AllowOutside {
		return os.OpenFile(o.Place(path), flag, 0o644)
	}
	if !filepath.IsLocal(path) || strings.Contains(path, "://") {
		return nil, fmt.Errorf("%w: %q is not below %s (allow it explicitly if you trust this image)", ErrOutside, path, o.Folder)
	}
	root, err := os.OpenRoot(o.Folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(path, flag, 0o644)
	if err != nil {
		if strings.Contains(err.Error(), "path escapes") { // package os exports no error for it
			return nil, fmt.Errorf("%w: %q: %w", ErrOutside, path, err)
		}
		return nil, fmt.Errorf("%s: %w", o.Place(path), err)
	}
	return f, nil
}

// hostFile is a regular file or block device.
type hostFile struct {
	f    *os.File
	raw  syscall.RawConn
	name string
	dev  bool // a block device
	// memory says that the file system keeps its files in memory; slow that it does not say of a read whether it would wait.
	memory bool
	slow   atomic.Bool
}

func newHostFile(f *os.File, name string, o FileOptions) (*hostFile, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	dev := st.Mode()&fs.ModeType == fs.ModeDevice
	if !st.Mode().IsRegular() && !(dev && (o.Folder == "" || o.AllowOutside)) {
		return nil, fmt.Errorf("%s: not a regular file (%s)", name, st.Mode().Type())
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	h := &hostFile{f: f, raw: raw, name: name, dev: dev}
	h.memory = h.inMemory()
	if o.Shared {
		return h, nil
	}
	err = lock(raw, o.Write)
	if err == nil {
		err = h.there()
	}
	if err != nil {
		unlock(raw)
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return h, nil
}

// there errs where the file is no longer what its name leads to: another program had it locked until now, and has removed or replaced it. What is written to it would be lost.
func (h *hostFile) there() error {
	st, err := h.f.Stat()
	if err != nil {
		return err
	}
	if st.Sys().(*syscall.Stat_t).Nlink > 0 {
		return nil
	}
	now, err := os.Stat(h.name) // not all file systems count names
	if err != nil || !os.SameFile(now, st) {
		return fmt.Errorf("it was removed while it was being opened: %w", fs.ErrNotExist)
	}
	return nil
}

// inMemory says whether the file lies on a file system that is in memory.
func (h *hostFile) inMemory() bool {
	var st unix.Statfs_t
	err := h.control(func(fd int) error { return unix.Fstatfs(fd, &st) })
	return err == nil && !h.dev && (st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC)
}

func (h *hostFile) Name() string { return h.name }

func (h *hostFile) Close() error {
	unlock(h.raw)
	return h.f.Close()
}

func (h *hostFile) ReadAt(p []byte, off int64) (int, error)  { return h.f.ReadAt(p, off) }
func (h *hostFile) WriteAt(p []byte, off int64) (int, error) { return h.f.WriteAt(p, off) }

func (h *hostFile) Truncate(size int64) error {
	if h.dev {
		return fmt.Errorf("%s: %w: a block device cannot be resized", h.name, ErrUnsupported)
	}
	return h.f.Truncate(size)
}

func (h *hostFile) Size() (int64, error) {
	if h.dev {
		return h.f.Seek(0, io.SeekEnd) // stat knows no size for a device
	}
	st, err := h.f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// ModTime is for [ModTime].
func (h *hostFile) ModTime() (time.Time, error) {
	st, err := h.f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return st.ModTime(), nil
}

// SetModTime sets what ModTime returns, to the microsecond.
func (h *hostFile) SetModTime(t time.Time) error {
	times := []unix.Timeval{unix.NsecToTimeval(time.Now().UnixNano()), unix.NsecToTimeval(t.UnixNano())}
	return wrap(h.control(func(fd int) error { return unix.Futimes(fd, times) }), "set the time of the last change", h)
}

// Sync is fdatasync: it covers the size, not the time stamps.
func (h *hostFile) Sync() error {
	return wrap(h.control(func(fd int) error { return unix.Fdatasync(fd) }), "sync", h)
}

func (h *hostFile) Zero(off, length int64, unmap bool) error {
	if length == 0 {
		return nil
	}
	size, err := h.Size()
	if err != nil {
		return err
	}
	if length = min(length, size-off); length <= 0 {
		return nil
	}
	mode := uint32(unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE)
	if unmap {
		mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	}
	err = h.fallocate(mode, off, length)
	if errors.Is(err, errors.ErrUnsupported) {
		return h.writeZeroes(off, length)
	}
	return wrap(err, "zero", h)
}

func (h *hostFile) Discard(off, length int64) error {
	if length == 0 {
		return nil
	}
	err := h.fallocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, length)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return wrap(err, "discard", h)
}

func (h *hostFile) fallocate(mode uint32, off, length int64) error {
	return h.control(func(fd int) error { return unix.Fallocate(fd, mode, off, length) })
}

// zeroes is what file systems without fallocate are given to write.
var zeroes [64 << 10]byte

func (h *hostFile) writeZeroes(off, length int64) error {
	for length > 0 {
		n := min(length, int64(len(zeroes)))
		if _, err := h.f.WriteAt(zeroes[:n], off); err != nil {
			return err
		}
		off, length = off+n, length-n
	}
	return nil
}

// NextData uses SEEK_DATA and SEEK_HOLE on the shared file position, which nothing else here reads.
func (h *hostFile) NextData(off int64) (start, end int64, err error) {
	size, err := h.Size()
	if err != nil {
		return 0, 0, err
	}
	if off >= size {
		return size, size, nil
	}
	err = h.control(func(fd int) (err error) {
		if start, err = unix.Seek(fd, off, unix.SEEK_DATA); err != nil {
			return err
		}
		end, err = unix.Seek(fd, start, unix.SEEK_HOLE)
		return err
	})
	switch {
	case errors.Is(err, unix.ENXIO): // no data after off
		return size, size, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, errors.ErrUnsupported): // a device, or a file system that cannot tell
		return off, size, nil
	case err != nil:
		return 0, 0, wrap(err, "find data", h)
	}
	return min(start, size), min(end, size), nil
}

// control runs fn on the descriptor, which stays open meanwhile, again if a signal interrupts it.
func (h *hostFile) control(fn func(fd int) error) error {
	var err error
	cerr := h.raw.Control(func(fd uintptr) {
		for {
			if err = fn(int(fd)); err != unix.EINTR {
				return
			}
		}
	})
	if cerr != nil {
		return cerr
	}
	return err
}

// wrap says which operation failed on which file, if one did.
func wrap(err error, op string, f File) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: f.Name(), Err: err}
}
