package pvh

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/sharevm/vmm/boot/payload"
)

const (
	identSize  = 16
	class32    = 1
	class64    = 2
	dataLSB    = 1
	machine386 = 3
	machineX64 = 62
	typeExec   = 2
	typeDyn    = 3

	ptLoad = 1
	ptNote = 4

	maxSegments = 64       // a kernel has about six
	maxNotes    = 64 << 10 // bytes of one note segment

	noteEntry = 18 // XEN_ELFNOTE_PHYS32_ENTRY
	noteName  = "Xen\x00"
)

// segment is a program header of type PT_LOAD or PT_NOTE.
type segment struct {
	kind             uint32
	offset           uint64 // in the file
	paddr            uint64
	fileSize, inCore uint64 // bytes
}

// image is what a kernel's ELF headers say, checked against the file but not against RAM.
type image struct {
	load  []segment // ascending, without overlaps
	entry uint32    // of PVH
}

// IsELF says whether head, the first bytes of a file, begins an ELF file.
func IsELF(head []byte) bool { return len(head) >= 4 && string(head[:4]) == "\x7fELF" }

// readImage reads the ELF headers and notes of f.
func readImage(f payload.File) (*image, error) {
	segments, err := readSegments(f)
	if err != nil {
		return nil, err
	}
	im := &image{}
	found := false
	for _, s := range segments {
		switch {
		case s.kind == ptNote && !found:
			if im.entry, found, err = findEntry(f, s); err != nil {
				return nil, err
			}
		case s.kind == ptLoad && s.inCore != 0:
			im.load = append(im.load, s)
		}
	}
	if !found {
		return nil, f.Fail(payload.ErrUnsupported, "the ELF file has no PVH entry point (a Linux kernel needs CONFIG_PVH)")
	}
	slices.SortFunc(im.load, func(a, b segment) int { return cmp.Compare(a.paddr, b.paddr) })
	entryInside := false
	for i, s := range im.load {
		if s.paddr+s.inCore < s.paddr || i > 0 && s.paddr < im.load[i-1].paddr+im.load[i-1].inCore {
			return nil, f.Fail(payload.ErrMalformed, "segment at %#x overlaps another or the end of memory", s.paddr)
		}
		if e := uint64(im.entry); e >= s.paddr && e-s.paddr < s.fileSize {
			entryInside = true
		}
	}
	if !entryInside {
		return nil, f.Fail(payload.ErrMalformed, "the PVH entry point %#x is in no segment", im.entry)
	}
	return im, nil
}

// readSegments reads the program headers of f, which may be of either ELF class.
func readSegments(f payload.File) ([]segment, error) {
	var b [64]byte
	n := min(int64(len(b)), f.Size)
	if err := f.ReadAt(b[:max(n, 0)], 0); err != nil {
		return nil, err
	}
	if !IsELF(b[:]) {
		return nil, f.Fail(payload.ErrNotKernel, "it lacks the signature of an ELF file")
	}
	le := binary.LittleEndian
	class, typ, machine := b[4], le.Uint16(b[16:]), le.Uint16(b[18:])
	if b[5] != dataLSB || (typ != typeExec && typ != typeDyn) || (machine != machineX64 && machine != machine386) {
		return nil, f.Fail(payload.ErrUnsupported, "the ELF file is not an executable for x86")
	}
	var phoff, size, count, wantSize uint64
	switch class {
	case class64:
		phoff, size, count, wantSize = le.Uint64(b[32:]), uint64(le.Uint16(b[54:])), uint64(le.Uint16(b[56:])), 56
	case class32:
		phoff, size, count, wantSize = uint64(le.Uint32(b[28:])), uint64(le.Uint16(b[42:])), uint64(le.Uint16(b[44:])), 32
	default:
		return nil, f.Fail(payload.ErrMalformed, "ELF class %d", class)
	}
	if size != wantSize || count == 0 || count > maxSegments {
		return nil, f.Fail(payload.ErrMalformed, "%d program headers of %d bytes", count, size)
	}
	if phoff > uint64(f.Size) {
		return nil, f.Fail(payload.ErrTruncated, "the program headers are at %#x, the file has %d bytes", phoff, f.Size)
	}
	table := make([]byte, count*size)
	if err := f.ReadAt(table, int64(phoff)); err != nil {
		return nil, err
	}
	var segments []segment
	for ; len(table) > 0; table = table[size:] {
		s := segment{kind: le.Uint32(table)}
		if s.kind != ptLoad && s.kind != ptNote {
			continue
		}
		if class == class64 {
			s.offset, s.paddr, s.fileSize, s.inCore = le.Uint64(table[8:]), le.Uint64(table[24:]), le.Uint64(table[32:]), le.Uint64(table[40:])
		} else {
			s.offset, s.paddr, s.fileSize, s.inCore = uint64(le.Uint32(table[4:])), uint64(le.Uint32(table[12:])), uint64(le.Uint32(table[16:])), uint64(le.Uint32(table[20:]))
		}
		if s.offset > uint64(f.Size) || s.fileSize > uint64(f.Size)-s.offset {
			return nil, f.Fail(payload.ErrTruncated, "a segment of %d bytes at offset %#x leaves the file of %d", s.fileSize, s.offset, f.Size)
		}
		if s.kind == ptLoad && s.fileSize > s.inCore {
			return nil, f.Fail(payload.ErrMalformed, "segment at %#x: %d bytes of file for %d of memory", s.paddr, s.fileSize, s.inCore)
		}
		segments = append(segments, s)
	}
	return segments, nil
}

// findEntry looks for the PVH entry point among the notes of s.
func findEntry(f payload.File, s segment) (entry uint32, found bool, err error) {
	if s.fileSize > maxNotes {
		return 0, false, f.Fail(payload.ErrMalformed, "a note segment of %d bytes", s.fileSize)
	}
	notes := make([]byte, s.fileSize)
	if err := f.ReadAt(notes, int64(s.offset)); err != nil {
		return 0, false, err
	}
	const header = 12
	le := binary.LittleEndian
	for len(notes) >= header {
		nameSize, descSize, kind := uint64(le.Uint32(notes)), uint64(le.Uint32(notes[4:])), le.Uint32(notes[8:])
		desc := header + align4(nameSize)
		next := desc + align4(descSize)
		if desc+descSize > uint64(len(notes)) {
			return 0, false, f.Fail(payload.ErrMalformed, "a note of %d bytes leaves its segment", descSize)
		}
		if kind == noteEntry && string(notes[header:header+nameSize]) == noteName {
			d := notes[desc : desc+descSize]
			if (descSize != 4 && descSize != 8) || (descSize == 8 && le.Uint32(d[4:]) != 0) {
				return 0, false, f.Fail(payload.ErrMalformed, "the PVH entry point is no 32-bit address")
			}
			return le.Uint32(d), true, nil
		}
		notes = notes[min(next, uint64(len(notes))):]
	}
	return 0, false, nil
}

func align4(n uint64) uint64 { return (n + 3) &^ 3 }
