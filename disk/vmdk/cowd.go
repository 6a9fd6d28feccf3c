package vmdk

import (
	"encoding/binary"
	"math/bits"

	"github.com/sharevm/vmm/disk"
)

const (
	cowdMagic = "COWD"
	// cowdTable is the number of entries of each of its grain tables.
	cowdTable = 4096
)

// parseCOWD reads the header of an ESXi host sparse extent (vmfsSparse), which has 32-bit fields, one directory and tables of 4096 entries, and
// is otherwise like a hosted one.
func parseCOWD(name string, p *[sectorSize]byte, fileSize int64) (*header, error) {
	field := func(at int) int64 { return int64(binary.LittleEndian.Uint32(p[at:])) }
	h := &header{
		version: uint32(field(4)), capacity: field(12), grain: field(16), gd: field(20), tableEntries: cowdTable, host: true,
	}
	switch {
	case h.version != 1:
		return nil, disk.Unsupported(name, 4, "vmfsSparse extent of version %d", h.version)
	case field(8) != 3:
		return nil, disk.Unsupported(name, 8, "vmfsSparse extent with flags %#x", field(8))
	case h.grain < 1 || h.grain > maxGrain || bits.OnesCount64(uint64(h.grain)) != 1:
		return nil, disk.Corrupt(name, 16, "grain size of %d sectors is not a power of two up to %d", h.grain, maxGrain)
	case h.gd == 0 || h.entries() > maxDirectory || h.gd*sectorSize > fileSize-h.entries()*4:
		return nil, disk.Corrupt(name, 20, "the grain directory (%d bytes at %d) leaves the file (%d bytes)", h.entries()*4, h.gd*sectorSize, fileSize)
	case field(24) < h.entries():
		return nil, disk.Corrupt(name, 24, "a directory of %d entries does not cover %d sectors", field(24), h.capacity)
	}
	return h, nil
}
