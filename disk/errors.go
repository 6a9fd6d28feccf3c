package disk

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrOutOfRange: the access leaves [0, Size()). Nothing was transferred.
	ErrOutOfRange = errors.New("access beyond the end of the disk")
	// ErrReadOnly: the image, or the part of it that was addressed, was opened or is marked read-only.
	ErrReadOnly = errors.New("disk is read-only")
	// ErrCorrupt: the file breaks its format's rules. It is wrapped by a [FormatError], which says where.
	ErrCorrupt = errors.New("damaged disk image")
	// ErrUnsupported: the file is well formed but uses something that is not implemented.
	ErrUnsupported = errors.New("unsupported disk image")
	// ErrLocked: another program, or another disk of this one, has the image open in a way that excludes this use.
	ErrLocked = errors.New("disk image is in use")
	// ErrOutside: the image names a file outside its own folder and [OpenOptions.AllowOutside] was not given.
	ErrOutside = errors.New("file lies outside the disk's folder")
	// ErrFull: the format has no room for another block (not the host's file system, which reports ENOSPC).
	ErrFull = errors.New("disk image has reached its format's largest size")
	// ErrNoAccess: the range belongs to an extent that the image's owner marked NOACCESS.
	ErrNoAccess = errors.New("this part of the disk is marked as not accessible")
	// ErrStaleParent: the parent is not, or no longer, the image that this one was made from.
	ErrStaleParent = errors.New("parent does not fit")
	// ErrClosed: the image was closed.
	ErrClosed = errors.New("disk image is closed")
)

// FormatError says which rule of its format a file breaks, and where. errors.Is(err, ErrCorrupt) holds for it, or
// errors.Is(err, ErrUnsupported) when Err is that.
type FormatError struct {
	File   string // path of the file
	Offset int64  // byte in the file, or -1 when no single place is to blame
	Reason string // what is wrong there
	Err    error  // ErrUnsupported, or nil for ErrCorrupt
}

func (e *FormatError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s: %v: %s", e.File, e.Unwrap(), e.Reason)
	}
	return fmt.Sprintf("%s: %v: at byte %d: %s", e.File, e.Unwrap(), e.Offset, e.Reason)
}

// Unwrap returns ErrCorrupt or what Err says instead.
func (e *FormatError) Unwrap() error {
	if e.Err != nil {
		return e.Err
	}
	return ErrCorrupt
}

// Corrupt returns a [FormatError] for a broken rule. Offset is a byte position in file, or -1.
func Corrupt(file string, offset int64, format string, args ...any) error {
	return &FormatError{File: file, Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// Unsupported returns a [FormatError] for a feature that is not implemented. Offset is a byte position in file, or -1.
func Unsupported(file string, offset int64, format string, args ...any) error {
	return &FormatError{File: file, Offset: offset, Reason: fmt.Sprintf(format, args...), Err: ErrUnsupported}
}

// CheckRange returns an error that wraps [ErrOutOfRange] unless [off, off+length) lies in [0, size).
func CheckRange(size, off, length int64) error {
	if off < 0 || length < 0 || off > size || length > size-off {
		return fmt.Errorf("%w: %d bytes at %d of %d", ErrOutOfRange, length, off, size)
	}
	return nil
}
