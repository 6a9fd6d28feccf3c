package fat

import (
	"encoding/binary"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

const bootSize = 512

// boot is what the boot sector says, checked.
type boot struct {
	bits        int   // of an entry: 12, 16, 32
	table       int64 // where the table that counts starts, bytes
	mirror      int64 // where its copy starts, or 0 if there is none
	tableSize   int64 // bytes
	data        int64 // where cluster 2 starts, bytes
	clusterSize int64
	clusters    int64
	root        int64 // first cluster of the root directory, with FAT32
	media       byte
	dirty       bool
}

// Clusters that a FAT12 and a FAT16 have at most; this alone decides what a volume is.
const (
	maxFAT12 = 4084
	maxFAT16 = 65524
	maxFAT32 = 0x0ffffff5
)

// Claims says whether head, the start of a volume, is a FAT boot sector.
func Claims(head []byte) bool {
	if len(head) < bootSize || head[510] != 0x55 || head[511] != 0xaa || head[0] != 0xeb && head[0] != 0xe9 {
		return false
	}
	sector, perCluster := int(binary.LittleEndian.Uint16(head[0x0b:])), int(head[0x0d])
	return sector >= 512 && sector <= 4096 && sector&(sector-1) == 0 && perCluster > 0 && perCluster&(perCluster-1) == 0 &&
		binary.LittleEndian.Uint16(head[0x0e:]) > 0 && head[0x10] > 0 && (head[0x15] == 0xf0 || head[0x15] >= 0xf8)
}

func (b *boot) parse(p []byte, size int64) error {
	if !Claims(p) {
		return volume.Refuse("its boot sector is damaged")
	}
	le := binary.LittleEndian
	u16 := func(at int) int64 { return int64(le.Uint16(p[at:])) }
	u32 := func(at int) int64 { return int64(le.Uint32(p[at:])) }
	sector, reserved, tables := u16(0x0b), u16(0x0e), int64(p[0x10])
	root := (u16(0x11)*32 + sector - 1) / sector
	total, tableSectors := u16(0x13), u16(0x16)
	large := tableSectors == 0 // the layout of FAT32
	if total == 0 {
		total = u32(0x20)
	}
	state := p[0x25]
	if large {
		tableSectors, state = u32(0x24), p[0x41]
		b.root = u32(0x2c)
	}
	b.media, b.dirty = p[0x15], state&1 != 0
	b.clusterSize = sector * int64(p[0x0d])
	b.tableSize = tableSectors * sector
	b.table = reserved * sector
	data := reserved + tables*tableSectors + root
	b.data = data * sector
	b.clusters = (total - data) / int64(p[0x0d])
	switch {
	case total > size/sector:
		return volume.Refuse("its boot sector is damaged, or it is cut off: it should have %d sectors of %d bytes, more than the partition", total, sector)
	case tables > 2 || total <= data || b.clusters < 1 || b.clusters > maxFAT32:
		return volume.Refuse("its boot sector is damaged: %d tables, %d clusters", tables, b.clusters)
	case b.clusters <= maxFAT12:
		b.bits = 12
	case b.clusters <= maxFAT16:
		b.bits = 16
	default:
		b.bits = 32
	}
	switch {
	case large != (b.bits == 32):
		return volume.Refuse("its boot sector is that of a FAT32 or is not, but it has %d clusters", b.clusters)
	case (b.clusters+2)*int64(b.bits) > b.tableSize*8:
		return volume.Refuse("it is damaged: its table is too short for %d clusters", b.clusters)
	case large && (b.root < 2 || b.root >= b.clusters+2 || u16(0x2a) != 0):
		return volume.Refuse("its boot sector is damaged, or of a version that is not known")
	}
	if tables == 2 {
		b.mirror = b.table + b.tableSize
	}
	if flags := u16(0x28); large && flags&0x80 != 0 { // only one table is kept up to date
		if active := flags & 15; active >= tables {
			return volume.Refuse("its boot sector is damaged: table %d of %d is in use", active, tables)
		} else if active == 1 {
			b.table = b.mirror
		}
		b.mirror = 0
	}
	return nil
}
