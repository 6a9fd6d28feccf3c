package partition

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// ErrDamaged is wrapped by errors about a table that breaks its rules, so that nobody can say what lies where on the disk.
var ErrDamaged = errors.New("damaged partition table")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// Schemes of partitioning.
const (
	GPT = "gpt"
	MBR = "mbr"
)

// Table is what a disk's partition table says.
type Table struct {
	Scheme     string // GPT, MBR, or "" for a disk without a table
	SectorSize int    // bytes that the table counts in
	Entries    []Entry
	// Notes are remarks for people on what is not as it should be, though nothing is lost.
	Notes []string
	// Alternate is where the backup GPT ends, in bytes, according to the one that was read; 0 for an MBR.
	Alternate int64
	// Tail is what the table itself needs at the disk's end, in bytes: the backup GPT.
	Tail int64
}

// Entry is a partition.
type Entry struct {
	Number int    // from 1, as Linux numbers them: the slot in the table, logical partitions from 5
	Offset int64  // bytes from the disk's start
	Length int64  // bytes
	Type   string // of a GPT the type GUID in upper case, of an MBR "0x07" and so on
	Kind   string // what that type means, in words, or ""
	Name   string // of a GPT, without control characters
	// Container says that this is an MBR's extended partition, which holds the logical ones.
	Container bool
	// Problem says what is wrong with the entry, so that its contents cannot be trusted, or is "".
	Problem string
}

// End is the first byte behind the partition.
func (e *Entry) End() int64 { return e.Offset + e.Length }

// Read reads the table of a disk of size bytes. SectorSize is the disk's logical sector (512 or 4096); a GPT that was made for the other size
// is found as well, and 0 means that it is not known. A disk without a table yields a Table with Scheme "". A table that cannot
// be trusted is an error that wraps [ErrDamaged].
func Read(ctx context.Context, r io.ReaderAt, size int64, sectorSize int) (*Table, error) {
	sizes := []int{512, 4096}
	switch sectorSize {
	case 0, 512:
	case 4096:
		sizes = []int{4096, 512}
	default:
		return nil, fmt.Errorf("read the partition table: sectors of %d bytes are not known", sectorSize)
	}
	d := reader{ctx, r, size}
	if size < 512 {
		return &Table{SectorSize: sizes[0]}, nil
	}
	boot := make([]byte, 512)
	if err := d.read(boot, 0); err != nil {
		return nil, err
	}
	legacy := parseMBR(boot)
	if legacy.protective() {
		for _, ss := range sizes {
			t, err := d.gpt(ss)
			if err != nil || t != nil {
				if t != nil && legacy.hybrid() {
					t.Notes = append(t.Notes, "the MBR lists partitions of its own beside the GPT (a hybrid MBR); they are ignored")
				}
				return t, err
			}
		}
		return nil, damaged("the disk is marked as having a GPT, but neither its primary nor its backup copy is intact")
	}
	if !legacy.valid() {
		return &Table{SectorSize: sizes[0]}, nil
	}
	t := &Table{Scheme: MBR, SectorSize: sizes[0]}
	if err := d.mbr(t, legacy); err != nil {
		return nil, err
	}
	t.judge(size)
	return t, nil
}

// judge notes which entries leave the disk or meet each other.
func (t *Table) judge(size int64) {
	for k := range t.Entries {
		if e := &t.Entries[k]; e.Problem == "" && (e.Offset > size || e.Length > size-e.Offset) {
			e.Problem = "it reaches beyond the end of the disk"
		}
	}
	// In order of their start, an entry can only meet the one so far that ends last.
	furthest := -1
	for _, k := range t.order() {
		e := &t.Entries[k]
		if e.Container || e.Length == 0 {
			continue
		}
		if furthest >= 0 {
			if f := &t.Entries[furthest]; e.Offset < f.End() {
				e.Problem = fmt.Sprintf("it overlaps partition %d", f.Number)
				if f.Problem == "" {
					f.Problem = fmt.Sprintf("it overlaps partition %d", e.Number)
				}
			}
		}
		if furthest < 0 || e.End() > t.Entries[furthest].End() {
			furthest = k
		}
	}
}

// reader reads a disk.
type reader struct {
	ctx  context.Context
	r    io.ReaderAt
	size int64
}

// read fills p from off, which lies on the disk.
func (d reader) read(p []byte, off int64) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	n, err := d.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read the partition table: %d bytes at %d of the disk: %w", len(p), off, err)
}

// holds says whether [off, off+n) lies on the disk.
func (d reader) holds(off, n int64) bool { return off >= 0 && off <= d.size && n <= d.size-off }
