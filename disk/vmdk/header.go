package vmdk

import (
	"encoding/binary"
	"math/bits"

	"github.com/sharevm/vmm/disk"
)

const (
	sectorSize  = 512
	sparseMagic = "KDMV"
)

// Flags of a sparse extent's header.
const (
	flagNewlines   = 1 << 0 // the newline characters are there to be checked
	flagRedundant  = 1 << 1 // the redundant grain directory is in use
	flagZeroGrain  = 1 << 2 // grain table entry 1 means zeroes
	flagCompressed = 1 << 16
	flagMarkers    = 1 << 17
)

// Limits on what a header may ask for.
const (
	minGrain = 8       // sectors; the specification's lower limit
	maxGrain = 1 << 21 // sectors: 1 GiB
	// maxStreamGrain is the limit in sectors where whole grains have to be in memory: 1 MiB.
	maxStreamGrain = 2048
	maxTable       = 512     // entries of a grain table; nobody writes another number
	maxDirectory   = 4 << 20 // entries; 64 TiB in ordinary grains has half of that
)

// Places in the header.
const (
	flagsAt     = 8
	gdAt        = 56
	uncleanAt   = 72 // 1 while a writer is at work
	algorithmAt = 77
)

// deflate is the only compression algorithm there is.
const deflate = 1

// gdAtEnd in place of the grain directory's offset says that a footer at the end of the file has it.
const gdAtEnd = ^uint64(0)

// header is what a sparse extent's first sector says. Offsets and sizes are in sectors.
type header struct {
	version          uint32
	flags            uint32
	capacity         int64
	grain            int64
	descriptorOffset int64
	descriptorSize   int64
	tableEntries     int64 // of a grain table
	redundantGD      int64 // 0 when there is none
	gd               int64
	overhead         int64
	unclean          bool
	compressed       bool // grains are compressed
	streamed         bool // the directory's place is in a footer
	lost             bool // and that is not there
	fresh            bool // a stream's writer ended before its first flush: there is no directory, and nothing to find in it
	host             bool // a vmfsSparse extent (COWD)

	footerAt int64 // byte offset of the footer's marker, if there is one
}

// entries is the length of the grain directory.
func (h *header) entries() int64 {
	covers := h.grain * h.tableEntries
	return (h.capacity + covers - 1) / covers
}

// tableBytes is the size of a grain table, which starts at a sector.
func (h *header) tableBytes() int64 { return h.tableEntries * 4 }

// size is the length of the header itself in bytes.
func (h *header) size() int64 {
	if h.host {
		return 4 * sectorSize
	}
	return sectorSize
}

func (h *header) redundant() bool { return h.redundantGD != 0 }

// readHeader reads the header of an extent in a file of its own, which has fileSize bytes.
func readHeader(file disk.File, fileSize int64) (*header, error) {
	var first [sectorSize]byte
	if err := disk.ReadFull(file, first[:], 0, "header"); err != nil {
		return nil, err
	}
	return wholeHeader(file, &first, fileSize)
}

// wholeHeader reads the first sector of any hosted or host sparse extent, and completes a stream's by its footer.
func wholeHeader(file disk.File, first *[sectorSize]byte, fileSize int64) (*header, error) {
	if string(first[:4]) == cowdMagic {
		return parseCOWD(file.Name(), first, fileSize)
	}
	h, err := parseHeader(file.Name(), first, fileSize)
	if err != nil || !h.streamed {
		return h, err
	}
	return findFooter(file, h, fileSize)
}

// parseHeader reads the first sector of file, which has fileSize bytes.
func parseHeader(name string, p *[sectorSize]byte, fileSize int64) (*header, error) {
	le := binary.LittleEndian
	h := &header{version: le.Uint32(p[4:]), flags: le.Uint32(p[8:]), unclean: p[uncleanAt] != 0}
	if string(p[:4]) != sparseMagic {
		return nil, disk.Corrupt(name, 0, "not a sparse extent: it does not start with %s", sparseMagic)
	}
	if h.version < 1 || h.version > 3 {
		return nil, disk.Unsupported(name, 4, "sparse extent of version %d", h.version)
	}
	h.compressed = h.flags&flagCompressed != 0
	switch {
	case h.compressed && (h.flags&flagMarkers == 0 || le.Uint16(p[algorithmAt:]) != deflate):
		return nil, disk.Unsupported(name, algorithmAt, "compression that is not deflate with markers")
	case !h.compressed && (h.flags&flagMarkers != 0 || le.Uint16(p[algorithmAt:]) != 0):
		return nil, disk.Unsupported(name, 8, "markers without compression")
	case h.compressed && le.Uint64(p[gdAt:]) == gdAtEnd:
		h.streamed = true
	case h.compressed && le.Uint64(p[gdAt:]) == 0 && h.unclean:
		h.fresh = true
	}

	// The file's own length bounds everything that lies in it.
	inFile := uint64(fileSize / sectorSize)
	for _, f := range []struct {
		at    int64
		what  string
		limit uint64
		into  *int64
	}{
		{12, "capacity", maxSectors, &h.capacity},
		{20, "grain size", maxGrain, &h.grain},
		{28, "descriptor offset", inFile, &h.descriptorOffset},
		{36, "descriptor size", inFile, &h.descriptorSize},
		{48, "redundant grain directory offset", inFile, &h.redundantGD},
		{gdAt, "grain directory offset", inFile, &h.gd},
		{64, "overhead", maxSectors, &h.overhead},
	} {
		v := le.Uint64(p[f.at:])
		if h.streamed && f.at == gdAt {
			v = 0
		}
		if v > f.limit {
			return nil, disk.Corrupt(name, f.at, "%s of %d sectors is impossible here (limit %d)", f.what, v, f.limit)
		}
		*f.into = int64(v)
	}
	h.tableEntries = int64(le.Uint32(p[44:]))
	if h.flags&flagRedundant == 0 {
		h.redundantGD = 0
	}
	if err := h.validate(name, fileSize); err != nil {
		return nil, err
	}
	if h.flags&flagNewlines != 0 && string(p[73:77]) != "\n \r\n" {
		return nil, disk.Corrupt(name, 73, "the newline characters have changed: the file was transferred as text")
	}
	return h, nil
}

func (h *header) validate(name string, fileSize int64) error {
	switch {
	case h.grain < minGrain || bits.OnesCount64(uint64(h.grain)) != 1:
		return disk.Corrupt(name, 20, "grain size of %d sectors is not a power of two from %d on", h.grain, minGrain)
	case h.tableEntries < 1 || h.tableEntries > maxTable || bits.OnesCount64(uint64(h.tableEntries)) != 1:
		return disk.Corrupt(name, 44, "%d entries per grain table is not a power of two up to %d", h.tableEntries, maxTable)
	case h.entries() > maxDirectory:
		return disk.Corrupt(name, 12, "a grain directory of %d entries is larger than any disk needs (%d)", h.entries(), maxDirectory)
	case h.descriptorSize*sectorSize > maxDescriptor:
		return disk.Corrupt(name, 36, "a descriptor of %d sectors is larger than any disk needs", h.descriptorSize)
	case h.compressed && h.grain > maxStreamGrain:
		return disk.Unsupported(name, 20, "compressed grains of %d sectors are larger than any program's (%d)", h.grain, maxStreamGrain)
	case h.streamed, h.fresh:
	case h.gd == 0:
		return disk.Corrupt(name, 56, "there is no grain directory")
	}
	for _, part := range []struct {
		field, start, bytes int64
		what                string
	}{
		{28, h.descriptorOffset, h.descriptorSize * sectorSize, "descriptor"},
		{56, h.gd, h.entries() * 4, "grain directory"},
		{48, h.redundantGD, h.entries() * 4, "redundant grain directory"},
	} {
		if part.start*sectorSize > fileSize-part.bytes {
			return disk.Corrupt(name, part.field, "the %s (%d bytes at %d) leaves the file, which has %d bytes and seems to be truncated",
				part.what, part.bytes, part.start*sectorSize, fileSize)
		}
	}
	return nil
}

// encode returns the first sector of a new extent.
func (h *header) encode() []byte {
	p := make([]byte, sectorSize)
	le := binary.LittleEndian
	copy(p, sparseMagic)
	le.PutUint32(p[4:], h.version)
	le.PutUint32(p[8:], h.flags)
	le.PutUint64(p[12:], uint64(h.capacity))
	le.PutUint64(p[20:], uint64(h.grain))
	le.PutUint64(p[28:], uint64(h.descriptorOffset))
	le.PutUint64(p[36:], uint64(h.descriptorSize))
	le.PutUint32(p[44:], uint32(h.tableEntries))
	le.PutUint64(p[48:], uint64(h.redundantGD))
	le.PutUint64(p[gdAt:], uint64(h.gd))
	le.PutUint64(p[64:], uint64(h.overhead))
	if h.streamed {
		le.PutUint64(p[gdAt:], gdAtEnd)
	}
	if h.unclean {
		p[uncleanAt] = 1
	}
	copy(p[73:], "\n \r\n")
	if h.compressed {
		le.PutUint16(p[algorithmAt:], deflate)
	}
	return p
}
