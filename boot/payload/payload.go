// Package payload is what a direct boot starts from, kernel, initrd and command line, and the part of loading them that the boot
// protocols share: files go straight into guest RAM, without a copy in this process, and whatever does not fit is refused.
package payload

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sharevm/vmm/boot/e820"
	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/vmm/memory"
)

// Reasons why a payload is refused. Each is wrapped by an Error.
var (
	ErrNotKernel   = errors.New("not a kernel")
	ErrTruncated   = errors.New("file is truncated")
	ErrUnsupported = errors.New("not supported")
	ErrMalformed   = errors.New("damaged")
	ErrNoRoom      = errors.New("does not fit into the guest's memory")
)

// Error names the file that was refused.
type Error struct {
	Name   string // the file, as its File named it
	Detail string // what exactly is wrong, "" if Err says it all
	Err    error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("%s: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", e.Name, e.Err, e.Detail)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// File is a file to load.
type File struct {
	Name string      // for messages
	Data io.ReaderAt // may be read at several places at once
	Size int64       // bytes
}

// FromOS describes f, which must be a regular file that stays open until it is loaded.
func FromOS(f *os.File) (File, error) {
	info, err := f.Stat()
	if err != nil {
		return File{}, err
	}
	if !info.Mode().IsRegular() {
		return File{}, &Error{Name: f.Name(), Err: ErrUnsupported, Detail: "not a regular file"}
	}
	return File{Name: f.Name(), Data: f, Size: info.Size()}, nil
}

// Append returns f with more bytes behind it, from the next multiple of align on.
func (f File) Append(more []byte, align int64) File {
	at := (f.Size + align - 1) / align * align
	f.Data = joined{f.Data, f.Size, at, more}
	f.Size = at + int64(len(more))
	return f
}

// joined is data of size bytes and, from at on, more; what lies in between is zero.
type joined struct {
	data     io.ReaderAt
	size, at int64
	more     []byte
}

// ReadAt implements io.ReaderAt.
func (j joined) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		switch rest, pos := p[n:], off+int64(n); {
		case pos < j.size:
			got, err := j.data.ReadAt(rest[:min(int64(len(rest)), j.size-pos)], pos)
			if n += got; err != nil && (got == 0 || err != io.EOF) {
				return n, err
			}
		case pos < j.at:
			gap := rest[:min(int64(len(rest)), j.at-pos)]
			clear(gap)
			n += len(gap)
		case pos-j.at < int64(len(j.more)):
			n += copy(rest, j.more[pos-j.at:])
		default:
			return n, io.EOF
		}
	}
	return n, nil
}

// Fail returns an Error about f.
func (f File) Fail(reason error, format string, args ...any) error {
	return &Error{Name: f.Name, Err: reason, Detail: fmt.Sprintf(format, args...)}
}

// ReadAt fills p from offset off.
func (f File) ReadAt(p []byte, off int64) error {
	n, err := f.Data.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return f.Fail(ErrTruncated, "%d bytes at offset %d are missing", len(p)-n, off+int64(n))
	}
	return fmt.Errorf("%s: read %d bytes at offset %d: %w", f.Name, len(p), off, err)
}

// ReadInto copies n bytes at offset off into guest RAM at gpa.
func (f File) ReadInto(mem *memory.Guest, gpa uint64, off int64, n uint64) error {
	if off < 0 || n > uint64(f.Size) || off > f.Size-int64(n) {
		return f.Fail(ErrTruncated, "%d bytes at offset %d are wanted, the file has %d", n, off, f.Size)
	}
	p, err := mem.Slice(gpa, n)
	if err != nil {
		return &Error{Name: f.Name, Err: fmt.Errorf("%w: %w", ErrNoRoom, err)}
	}
	return f.readParallel(p, off)
}

// Payload is what to boot. RAM must be all zero but for what the board itself has put below 1 MiB: fresh, or discarded
// after an earlier run.
type Payload struct {
	Kernel  File
	Initrd  *File // nil for none
	Cmdline string
	RSDP    uint64       // guest-physical address of the ACPI root pointer, 0 for none
	Map     []e820.Entry // memory map to hand over
}

// PlaceCmdline writes the command line, with its final zero, to [layout.Cmdline]. max is the most bytes that the kernel takes.
func (p *Payload) PlaceCmdline(mem *memory.Guest, max uint64) error {
	max = min(max, layout.CmdlineSize-1)
	if uint64(len(p.Cmdline)) > max {
		return fmt.Errorf("kernel command line has %d bytes: %s takes at most %d", len(p.Cmdline), p.Kernel.Name, max)
	}
	if i := strings.IndexByte(p.Cmdline, 0); i >= 0 {
		return fmt.Errorf("kernel command line holds a zero byte at offset %d", i)
	}
	if err := mem.Write(layout.Cmdline, append([]byte(p.Cmdline), 0)); err != nil {
		return fmt.Errorf("kernel command line: %w", err)
	}
	return nil
}

// PlaceInitrd loads the initrd as high as it fits into [floor, top), on a page boundary, and returns where. Without an initrd
// it returns an empty window.
func (p *Payload) PlaceInitrd(mem *memory.Guest, floor, top uint64) (layout.Window, error) {
	if p.Initrd == nil {
		return layout.Window{}, nil
	}
	if p.Initrd.Size <= 0 {
		return layout.Window{}, p.Initrd.Fail(ErrTruncated, "the initrd is empty")
	}
	w := layout.Window{Size: uint64(p.Initrd.Size)}
	if top < floor || top-floor < w.Size {
		return layout.Window{}, p.Initrd.Fail(ErrNoRoom, "the initrd has %d bytes, %d are free between kernel and end of memory", w.Size, top-min(floor, top))
	}
	w.Base = (top - w.Size) &^ (layout.PageSize - 1)
	if w.Base < floor {
		return layout.Window{}, p.Initrd.Fail(ErrNoRoom, "the initrd has %d bytes, no page boundary leaves room for it above the kernel", w.Size)
	}
	return w, p.Initrd.ReadInto(mem, w.Base, 0, w.Size)
}
