package ntfs

import (
	"encoding/binary"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

const bootSize = 512

// boot is what the boot sector says, checked.
type boot struct {
	clusterSize int64
	clusters    int64
	mft         int64 // cluster
	recordSize  int64 // bytes of a FILE record
}

// maxClusters is what the drivers of all systems can address.
const maxClusters = 1<<32 - 1

// Claims says whether head, the start of a volume, is an NTFS boot sector.
func Claims(head []byte) bool { return len(head) >= bootSize && string(head[3:11]) == "NTFS    " }

func (b *boot) parse(p []byte, size int64) error {
	le := binary.LittleEndian
	sector := int64(le.Uint16(p[0x0b:]))
	perCluster := int64(p[0x0d])
	if perCluster > 0x80 { // a negative exponent
		perCluster = 1 << min(256-perCluster, 32)
	}
	b.clusterSize = sector * perCluster
	sectors := le.Uint64(p[0x28:])
	b.recordSize = sized(p[0x40], b.clusterSize)
	mft := le.Uint64(p[0x30:])
	switch {
	case sector < 256 || sector > 4096 || sector&(sector-1) != 0, perCluster == 0 || perCluster&(perCluster-1) != 0, b.clusterSize > 2<<20,
		b.recordSize < 512 || b.recordSize > 64<<10 || b.recordSize&(b.recordSize-1) != 0:
		return volume.Refuse("its boot sector is damaged: the sizes of sectors, clusters or records cannot be")
	case sectors == 0 || sectors > uint64(size/sector):
		return volume.Refuse("its boot sector is damaged, or it is cut off: it should have %d sectors of %d bytes, more than the partition", sectors, sector)
	}
	if b.clusters = int64(sectors) / perCluster; b.clusters < 1 || b.clusters > maxClusters || mft >= uint64(b.clusters) {
		return volume.Refuse("its boot sector is damaged: it has %d clusters, and the MFT is in cluster %d", b.clusters, mft)
	}
	b.mft = int64(mft)
	return nil
}

// sized decodes a size in clusters or, if negative, as an exponent of bytes.
func sized(v byte, clusterSize int64) int64 {
	if n := int8(v); n < 0 {
		return 1 << min(-int(n), 32)
	}
	return int64(v) * clusterSize
}
