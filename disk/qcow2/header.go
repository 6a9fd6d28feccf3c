package qcow2

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/sharevm/vmm/disk"
)

// Sizes and marks of the specification.
const (
	magic       = "QFI\xfb"
	headerV2    = 72
	headerV3    = 104
	headerNew   = 112 // what Create writes: with the compression type
	minBits     = 9
	maxBits     = 21
	maxOrder    = 6
	maxNameSize = 1023
)

// Incompatible feature bits.
const (
	incompatDirty    = 1 << 0
	incompatCorrupt  = 1 << 1
	incompatDataFile = 1 << 2
	incompatCompress = 1 << 3
	incompatExtended = 1 << 4
	incompatKnown    = incompatDirty | incompatCorrupt | incompatCompress
)

// autoclearBitmaps says that the dirty bitmaps agree with the disk's contents.
const autoclearBitmaps = 1 << 0

// Offsets of header fields that are changed in place.
const (
	refTableAt    = 48
	incompatAt    = 72
	autoclearAt   = 88
	compressionAt = 104
)

// Limits on what a header may ask for. They are qemu's own.
const (
	maxL1Bytes       = 32 << 20
	maxRefTableBytes = 8 << 20
	maxSnapshots     = 65536
)

// Compression types.
const (
	compressDeflate = 0
	compressZstd    = 1
)

// header is what the first cluster says, checked.
type header struct {
	version     uint32
	backing     string // the parent's name, or empty
	backingType string // the parent's format, or empty
	clusterBits uint
	size        int64 // of the disk, in bytes
	l1At        int64
	l1Entries   int64
	refTableAt  int64
	refClusters int64 // of the refcount table
	refOrder    uint
	snapshots   int64
	snapshotsAt int64
	incompat    uint64
	autoclear   uint64
	compression byte
	length      int64
	bitmaps     bitmapsExtension
}

func (h *header) clusterSize() int64 { return 1 << h.clusterBits }

// l2Entries is the number of entries of an L2 table.
func (h *header) l2Entries() int64 { return h.clusterSize() / 8 }

// clusters is the number of clusters that hold part of the disk.
func (h *header) clusters() int64 { return (h.size + h.clusterSize() - 1) >> h.clusterBits }

// tables is the number of L2 tables that hold part of the disk; the L1 table may be longer.
func (h *header) tables() int64 { return (h.clusters() + h.l2Entries() - 1) / h.l2Entries() }

// perBlock is the number of clusters that a refcount block counts.
func (h *header) perBlock() int64 { return h.clusterSize() * 8 >> h.refOrder }

// clustersFor is how many clusters n bytes take.
func (h *header) clustersFor(n int64) int64 { return (n + h.clusterSize() - 1) >> h.clusterBits }

// wholeCluster says whether at is a cluster behind the first one of a file of length bytes.
func (h *header) wholeCluster(at, length int64) bool {
	return at > 0 && at%h.clusterSize() == 0 && at <= length-h.clusterSize()
}

func (h *header) compressionName() string {
	if h.compression == compressZstd {
		return "zstd"
	}
	return "zlib"
}

// readHeader reads and checks the header of a file of length bytes.
func readHeader(file disk.File, length int64) (*header, error) {
	p := make([]byte, headerV2)
	if err := disk.ReadFull(file, p, 0, "header"); err != nil {
		return nil, err
	}
	name := file.Name()
	be := binary.BigEndian
	if string(p[:4]) != magic {
		return nil, disk.Corrupt(name, 0, "no qcow2 header")
	}
	h := &header{version: be.Uint32(p[4:]), clusterBits: uint(be.Uint32(p[20:]))}
	switch {
	case h.version == 1:
		return nil, disk.Unsupported(name, 4, "version 1, the first qcow, is not supported; convert it with qemu-img")
	case h.version != 2 && h.version != 3:
		return nil, disk.Unsupported(name, 4, "version %d", h.version)
	case h.clusterBits < minBits || h.clusterBits > maxBits:
		return nil, disk.Corrupt(name, 20, "clusters of 2^%d bytes; they have 2^%d to 2^%d", h.clusterBits, minBits, maxBits)
	}
	// The header, its extensions and the parent's name all lie in the first cluster.
	first := make([]byte, min(h.clusterSize(), length))
	if err := disk.ReadFull(file, first, 0, "header"); err != nil {
		return nil, err
	}
	return h, h.parse(name, first, length)
}

// parse fills h from the first cluster of a file of length bytes.
func (h *header) parse(name string, p []byte, length int64) error {
	be := binary.BigEndian
	h.refOrder, h.length = 4, headerV2
	if h.version >= 3 {
		if len(p) < headerV3 {
			return disk.Corrupt(name, 0, "the file ends inside its header")
		}
		h.incompat, h.autoclear = be.Uint64(p[incompatAt:]), be.Uint64(p[autoclearAt:])
		h.refOrder, h.length = uint(be.Uint32(p[96:])), int64(be.Uint32(p[100:]))
		if h.length < headerV3 || h.length > int64(len(p)) {
			return disk.Corrupt(name, 100, "a header of %d bytes", h.length)
		}
		if h.length > compressionAt {
			h.compression = p[compressionAt]
		}
	}
	if err := h.checkFeatures(name, p); err != nil {
		return err
	}
	h.l1Entries, h.refClusters = int64(be.Uint32(p[36:])), int64(be.Uint32(p[56:]))
	h.snapshots = int64(be.Uint32(p[60:]))
	size, l1, refs, snaps := be.Uint64(p[24:]), be.Uint64(p[40:]), be.Uint64(p[refTableAt:]), be.Uint64(p[64:])
	h.size = int64(size)
	switch {
	case h.refOrder > maxOrder:
		return disk.Corrupt(name, 96, "refcounts of 2^%d bits", h.refOrder)
	case size > 1<<62:
		return disk.Corrupt(name, 24, "a capacity of %d bytes is impossible", size)
	case h.l1Entries*8 > maxL1Bytes:
		return disk.Corrupt(name, 36, "an L1 table of %d entries is larger than any disk needs", h.l1Entries)
	case h.l1Entries < h.tables():
		return disk.Corrupt(name, 36, "the L1 table's %d entries do not cover the disk's %d bytes, which need %d", h.l1Entries, h.size, h.tables())
	case h.refClusters<<h.clusterBits > maxRefTableBytes:
		return disk.Corrupt(name, 56, "a refcount table of %d clusters is larger than any disk needs", h.refClusters)
	case h.refClusters == 0:
		return disk.Corrupt(name, 56, "no refcount table")
	case h.snapshots > maxSnapshots:
		return disk.Corrupt(name, 60, "%d snapshots are more than any disk has", h.snapshots)
	}
	h.l1At, h.refTableAt, h.snapshotsAt = int64(l1), int64(refs), int64(snaps)
	for _, t := range []struct {
		what      string
		field     int64
		at, bytes uint64
	}{
		{"L1 table", 40, l1, uint64(h.l1Entries) * 8},
		{"refcount table", refTableAt, refs, uint64(h.refClusters) << h.clusterBits},
		{"snapshot table", 64, snaps, min(uint64(h.snapshots), 1)},
	} {
		if t.bytes == 0 {
			continue
		}
		if t.at%uint64(h.clusterSize()) != 0 || t.at == 0 {
			return disk.Corrupt(name, t.field, "the %s's place, byte %d, is not the start of a cluster behind the header", t.what, t.at)
		}
		if t.at > uint64(length) || t.bytes > uint64(length)-t.at {
			return disk.Corrupt(name, t.field, "the %s (%d bytes at %d) leaves the file (%d bytes)", t.what, t.bytes, t.at, length)
		}
	}
	return h.parseNames(name, p)
}

// checkFeatures refuses what would make the disk's contents wrong if it were ignored.
func (h *header) checkFeatures(name string, p []byte) error {
	if method := binary.BigEndian.Uint32(p[32:]); method != 0 {
		return disk.Unsupported(name, 32, "the disk is encrypted (method %d); decrypt it with qemu-img convert", method)
	}
	switch {
	case h.incompat&incompatDataFile != 0:
		return disk.Unsupported(name, incompatAt, "the contents lie in an external data file")
	case h.incompat&incompatExtended != 0:
		return disk.Unsupported(name, incompatAt, "extended L2 tables (subclusters); convert it with qemu-img convert -o extended_l2=off")
	case h.incompat&^incompatKnown != 0:
		bit := bits.TrailingZeros64(h.incompat &^ incompatKnown)
		return disk.Unsupported(name, incompatAt, "incompatible feature %s", featureName(p, h.length, 0, bit))
	case h.compression > compressZstd:
		return disk.Unsupported(name, compressionAt, "compression type %d", h.compression)
	case (h.compression != compressDeflate) != (h.incompat&incompatCompress != 0):
		return disk.Corrupt(name, compressionAt, "the compression type is %d, and the feature bit says otherwise", h.compression)
	}
	return nil
}

// parseNames finds the parent's name and format.
func (h *header) parseNames(name string, p []byte) error {
	at, size := binary.BigEndian.Uint64(p[8:]), uint64(binary.BigEndian.Uint32(p[16:]))
	end := uint64(len(p))
	if at != 0 {
		if size > maxNameSize || at < uint64(h.length) || at > end || size > end-at {
			return disk.Corrupt(name, 8, "the parent's name (%d bytes at %d) does not fit behind the header", size, at)
		}
		h.backing = string(p[at : at+size])
		end = at
	}
	return h.parseExtensions(name, p[:end])
}

// version as people say it.
func (h *header) variant() string { return fmt.Sprintf("v%d", h.version) }
