package vhd

import (
	"encoding/binary"
	"math/bits"

	"github.com/sharevm/vmm/disk"
)

// Limits on what a header may ask for. Programs in the field write blocks of 512 KiB and 2 MiB.
const (
	minBlock   = 4 << 10
	maxBlock   = 256 << 20
	maxEntries = 8 << 20 // 32 MiB of table; 2040 GiB in blocks of 2 MiB need an eighth of that
)

// Fields of the dynamic disk header that are changed in place. They lie in its first sector.
const (
	tableOffsetAt = 16
	entriesAt     = 28
	headerSumAt   = 36
)

// header is what the dynamic disk header says.
type header struct {
	at          int64 // of the header itself
	tableOffset int64
	entries     int64
	blockSize   int64
	parent      *link // of a differencing disk
}

// tables returns where in the file the header, the table and the parent locators lie.
func (h header) tables() []area {
	return append(h.besides(), area{h.tableOffset, h.tableOffset + h.entries*4})
}

// besides is tables without the table.
func (h header) besides() []area {
	all := []area{{h.at, h.at + headerSize}}
	if h.parent != nil {
		all = append(all, h.parent.areas...)
	}
	return all
}

// bitmapSize is the length of the sector bitmap in front of each block, padded to whole sectors.
func (h header) bitmapSize() int64 {
	return (h.blockSize/sectorSize/8 + sectorSize - 1) / sectorSize * sectorSize
}

// stride is the room that a block takes in the file.
func (h header) stride() int64 { return h.bitmapSize() + h.blockSize }

// readHeader reads and checks the dynamic disk header of a disk of size bytes, in a file of fileSize.
func readHeader(file disk.File, f *footer, size, fileSize int64) (header, error) {
	h, p, err := readFields(file, f, size, fileSize)
	if p != nil && string(p[:8]) == headerCookie {
		if err := headerSum(file.Name(), int64(f.dataOffset()), p); err != nil {
			return h, err // which explains any other
		}
	}
	return h, err
}

// headerSum compares the header's checksum with what the one of its bytes is.
func headerSum(name string, at int64, p []byte) error {
	if got, want := binary.BigEndian.Uint32(p[headerSumAt:]), checksum(p, headerSumAt); got != want {
		return disk.Corrupt(name, at+headerSumAt, "dynamic header checksum is %#08x, should be %#08x", got, want)
	}
	return nil
}

// readFields is readHeader without a look at the checksum. It returns the header's bytes as well.
func readFields(file disk.File, f *footer, size, fileSize int64) (header, []byte, error) {
	at := f.dataOffset()
	if at < footerSize || at%sectorSize != 0 || at > uint64(fileSize) || fileSize-int64(at) < headerSize {
		return header{}, nil, disk.Corrupt(file.Name(), 16, "the dynamic header's offset %d is impossible", at)
	}
	var p [headerSize]byte
	if err := disk.ReadFull(file, p[:], int64(at), "dynamic header"); err != nil {
		return header{}, nil, err
	}
	h, err := parseHeader(file.Name(), &p, int64(at), size, fileSize)
	if err == nil && f.diskType() == typeDifferencing {
		h.parent, err = readLink(file, &p, h.at, fileSize)
	}
	if err == nil {
		err = h.disjoint(file.Name())
	}
	return h, p[:], err
}

// disjoint checks that the table touches nothing else: locators among themselves may.
func (h header) disjoint(name string) error {
	for _, a := range append(h.besides(), area{0, footerSize}) {
		if overlap(a.start, a.end, h.tableOffset, h.tableOffset+h.entries*4) {
			return disk.Corrupt(name, h.at+tableOffsetAt, "the block allocation table at byte %d overlaps what lies at bytes %d to %d", h.tableOffset, a.start, a.end)
		}
	}
	return nil
}

func parseHeader(name string, p *[headerSize]byte, at, size, fileSize int64) (header, error) {
	be := binary.BigEndian
	fail := func(field int64, format string, args ...any) (header, error) {
		return header{}, disk.Corrupt(name, at+field, format, args...)
	}
	if string(p[:8]) != headerCookie {
		return fail(0, `no "cxsparse" dynamic header`)
	}
	table, entries, block := be.Uint64(p[16:]), int64(be.Uint32(p[28:])), int64(be.Uint32(p[32:]))
	if block < minBlock || block > maxBlock || bits.OnesCount64(uint64(block)) != 1 {
		return fail(32, "block size %d is not a power of two from %d to %d", block, minBlock, maxBlock)
	}
	if entries > maxEntries {
		return fail(28, "a table of %d blocks is larger than any disk needs (%d)", entries, maxEntries)
	}
	if entries*block < size {
		return fail(28, "the table's %d blocks of %d bytes do not cover the disk's %d bytes", entries, block, size)
	}
	if table%sectorSize != 0 || table > uint64(fileSize) || entries*4 > fileSize-int64(table) {
		return fail(16, "the block allocation table (%d bytes at %d) leaves the file (%d bytes)", entries*4, table, fileSize)
	}
	return header{at: at, tableOffset: int64(table), entries: entries, blockSize: block}, nil
}

// encode returns the header's sectors for a new disk, and those of the parent locator behind it.
func (h header) encode() []byte {
	p := make([]byte, headerSize)
	be := binary.BigEndian
	copy(p, headerCookie)
	be.PutUint64(p[8:], noOffset)
	be.PutUint64(p[tableOffsetAt:], uint64(h.tableOffset))
	be.PutUint32(p[24:], fileVersion)
	be.PutUint32(p[entriesAt:], uint32(h.entries))
	be.PutUint32(p[32:], uint32(h.blockSize))
	var locator []byte
	if h.parent != nil {
		locator = h.parent.encode(p, h.at+headerSize)
	}
	be.PutUint32(p[headerSumAt:], checksum(p, headerSumAt))
	return append(p, locator...)
}
