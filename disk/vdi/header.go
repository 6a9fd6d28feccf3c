package vdi

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/sharevm/vmm/disk"
)

const (
	sectorSize = 512
	headerSize = 512
	signature  = 0xbeda107f
	version    = 0x00010001
	banner     = "<<< Oracle VM VirtualBox Disk Image >>>\n"
	// structSize is the length of the version 1.1 header from its own field on, as VirtualBox writes it.
	structSize = 400
	// knownSize is as much of it as has to be there.
	knownSize = 384
)

// Types of images.
const (
	typeDynamic      = 1
	typeFixed        = 2
	typeUndo         = 3
	typeDifferencing = 4
)

// Byte offsets of the header's fields.
const (
	signatureAt = 0x40
	versionAt   = 0x44
	sizeAt      = 0x48
	typeAt      = 0x4c
	mapAt       = 0x154
	dataAt      = 0x158
	sectorAt    = 0x168
	capacityAt  = 0x170
	blockAt     = 0x178
	extraAt     = 0x17c
	blocksAt    = 0x180
	allocatedAt = 0x184
	createAt    = 0x188
	modifyAt    = 0x198
	linkAt      = 0x1a8
)

// Limits on what a header may ask for. Programs in the field write blocks of 1 MiB.
const (
	minBlock   = 4 << 10
	maxBlock   = 256 << 20
	maxEntries = 16 << 20 // 64 MiB of map: 16 TiB in blocks of 1 MiB
	maxExtra   = 1 << 20
)

// header is what the first sector says, checked.
type header struct {
	kind      uint32
	size      int64 // of the disk
	mapAt     int64
	dataAt    int64
	block     int64 // bytes of a block
	extra     int64 // bytes in front of each block in the file that belong to other programs
	blocks    int64
	allocated int64 // slots in use
	id        string
}

func (h *header) stride() int64 { return h.extra + h.block }

// slot is the file offset of the data in a slot.
func (h *header) slot(n int64) int64 { return h.dataAt + n*h.stride() + h.extra }

// end is where a file with so many slots ends.
func (h *header) end(slots int64) int64 { return h.dataAt + slots*h.stride() }

func (h *header) variant() string {
	if h.kind == typeFixed {
		return "fixed"
	}
	return "dynamic"
}

// readHeader reads and checks the header of a file of length bytes.
func readHeader(file disk.File, length int64) (*header, error) {
	var p [headerSize]byte
	if err := disk.ReadFull(file, p[:], 0, "header"); err != nil {
		return nil, err
	}
	return parseHeader(file.Name(), &p, length)
}

func parseHeader(name string, p *[headerSize]byte, length int64) (*header, error) {
	u32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(p[at:])) }
	capacity := binary.LittleEndian.Uint64(p[capacityAt:])
	h := &header{
		kind: uint32(u32(typeAt)), size: int64(capacity), mapAt: u32(mapAt), dataAt: u32(dataAt), block: u32(blockAt), extra: u32(extraAt),
		blocks: u32(blocksAt), allocated: u32(allocatedAt), id: formatUUID(p[createAt:]),
	}
	switch {
	case u32(signatureAt) != signature:
		return nil, disk.Corrupt(name, signatureAt, "no VDI header")
	case u32(versionAt) != version:
		return nil, disk.Unsupported(name, versionAt, "version %d.%d", u32(versionAt)>>16, u32(versionAt)&0xffff)
	case u32(sizeAt) < knownSize:
		return nil, disk.Corrupt(name, sizeAt, "a header of %d bytes", u32(sizeAt))
	case h.kind == typeDifferencing || h.kind == typeUndo, [16]byte(p[linkAt:]) != [16]byte{}:
		return nil, disk.Unsupported(name, linkAt, "a differencing disk knows its parent only by its UUID, %s; merge them with VirtualBox", formatUUID(p[linkAt:]))
	case h.kind != typeDynamic && h.kind != typeFixed:
		return nil, disk.Corrupt(name, typeAt, "unknown disk type %d", h.kind)
	case u32(sectorAt) != sectorSize:
		return nil, disk.Unsupported(name, sectorAt, "sectors of %d bytes", u32(sectorAt))
	case capacity > 1<<62:
		return nil, disk.Corrupt(name, capacityAt, "a capacity of %d bytes is impossible", capacity)
	case h.block < minBlock || h.block > maxBlock || bits.OnesCount64(uint64(h.block)) != 1:
		return nil, disk.Corrupt(name, blockAt, "block size %d is not a power of two from %d to %d", h.block, minBlock, maxBlock)
	case h.extra > maxExtra || h.extra%sectorSize != 0:
		return nil, disk.Corrupt(name, extraAt, "%d bytes in front of each block", h.extra)
	case h.blocks > maxEntries:
		return nil, disk.Corrupt(name, blocksAt, "a map of %d blocks is larger than any disk needs (%d)", h.blocks, maxEntries)
	case h.blocks*h.block < h.size:
		return nil, disk.Corrupt(name, blocksAt, "the map's %d blocks of %d bytes do not cover the disk's %d bytes", h.blocks, h.block, h.size)
	case h.mapAt < headerSize || h.mapAt%sectorSize != 0 || h.blocks*4 > length-h.mapAt:
		return nil, disk.Corrupt(name, mapAt, "the block map (%d bytes at %d) leaves the file (%d bytes)", h.blocks*4, h.mapAt, length)
	case h.dataAt%sectorSize != 0 || h.dataAt < h.mapAt+h.blocks*4:
		return nil, disk.Corrupt(name, dataAt, "the data at byte %d overlaps the block map, which ends at %d", h.dataAt, h.mapAt+h.blocks*4)
	}
	return h, nil
}

// encode returns the header of a new disk.
func (h *header) encode() []byte {
	p := make([]byte, headerSize)
	copy(p, banner)
	u32 := func(at int, v int64) { binary.LittleEndian.PutUint32(p[at:], uint32(v)) }
	u32(signatureAt, signature)
	u32(versionAt, version)
	u32(sizeAt, structSize)
	u32(typeAt, int64(h.kind))
	u32(mapAt, h.mapAt)
	u32(dataAt, h.dataAt)
	u32(sectorAt, sectorSize)
	binary.LittleEndian.PutUint64(p[capacityAt:], uint64(h.size))
	u32(blockAt, h.block)
	u32(blocksAt, h.blocks)
	u32(allocatedAt, h.allocated)
	putUUID(p[createAt:])
	putUUID(p[modifyAt:])
	return p
}

// putUUID stores a random UUID (RFC 9562, version 4) with its first three fields in little-endian order.
func putUUID(p []byte) {
	rand.Read(p[:16])
	p[7] = p[7]&0x0f | 0x40
	p[8] = p[8]&0x3f | 0x80
}

func formatUUID(p []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(p), le.Uint16(p[4:]), le.Uint16(p[6:]), p[8:10], p[10:16])
}
