package xfs

import (
	"context"
	"encoding/binary"
	"hash/crc32"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

var be = binary.BigEndian

const (
	superMagic = "XFSB"
	superSize  = 512
	superCRCAt = 224
)

// Features of version 5.
const (
	roKnown          = 0xf  // finobt, rmapbt, reflink, inobtcount
	incompatKnown    = 0xef // ftype, spinodes, meta_uuid, bigtime, nrext64, exchrange, parent
	incompatMetaUUID = 4
	incompatRepair   = 0x10
)

// superblock is what the primary superblock says, checked.
type superblock struct {
	version    int
	blockSize  int64
	blocks     int64 // of the volume
	agBlocks   int64
	agCount    int64
	sectorSize int64
	logAG      int64 // the allocation group that holds the log
	logFirst   int64 // block of that group
	logBlocks  int64
	uuid       [16]byte // what the user may change
	metaUUID   [16]byte // what blocks bear
}

// Claims says whether head, the start of a volume, is an XFS superblock.
func Claims(head []byte) bool { return len(head) >= superSize && string(head[:4]) == superMagic }

// Volume is an XFS file system.
type Volume struct {
	super superblock
	r     volume.Reader
}

// Name is "xfs".
func (v *Volume) Name() string { return "xfs" }

// Open judges a volume by its superblock and its log. It refuses with a [volume.Refusal].
func Open(ctx context.Context, r volume.Reader) (*Volume, error) {
	v := &Volume{r: r}
	p := make([]byte, superSize)
	if err := r.Read(ctx, p, 0); err != nil {
		return nil, err
	}
	sector := int64(be.Uint16(p[102:]))
	if sector < 512 || sector > 32<<10 || sector&(sector-1) != 0 {
		return nil, volume.Refuse("its superblock is damaged: it has sectors of %d bytes; run xfs_repair", sector)
	}
	p = make([]byte, sector)
	if err := r.Read(ctx, p, 0); err != nil {
		return nil, err
	}
	if err := v.super.parse(p, r.Size); err != nil {
		return nil, err
	}
	return v, v.judgeLog(ctx)
}

func (s *superblock) parse(p []byte, size int64) error {
	u32 := func(at int) int64 { return int64(be.Uint32(p[at:])) }
	s.version, s.sectorSize = int(be.Uint16(p[100:])&15), int64(len(p))
	if string(p[:4]) != superMagic || s.version != 4 && s.version != 5 {
		return volume.Refuse("its superblock is damaged, or of version %d, which is not known", s.version)
	}
	copy(s.uuid[:], p[32:])
	s.metaUUID = s.uuid
	if s.version == 5 {
		if !summed(p, superCRCAt) {
			return volume.Refuse("its superblock has a wrong checksum; run xfs_repair")
		}
		compat, ro, incompat, log := u32(208), u32(212), u32(216), u32(220)
		switch {
		case incompat&incompatRepair != 0:
			return volume.Refuse("it is marked as in need of repair; run xfs_repair")
		case compat != 0 || ro&^roKnown != 0 || incompat&^incompatKnown != 0 || log != 0:
			return volume.Refuse("it has features that are not known here (compatible %#x, incompatible %#x, read-only %#x, log %#x)",
				compat, incompat&^incompatKnown, ro&^roKnown, log)
		case incompat&incompatMetaUUID != 0:
			copy(s.metaUUID[:], p[248:])
		}
	}
	if p[126] != 0 {
		return volume.Refuse("it was being made when its maker was interrupted")
	}
	s.blockSize, s.agBlocks, s.agCount = u32(4), u32(84), u32(88)
	blocks, start := be.Uint64(p[8:]), be.Uint64(p[48:])
	agShift := p[124]
	switch {
	case s.blockSize < 512 || s.blockSize > 64<<10 || s.blockSize&(s.blockSize-1) != 0 || s.blockSize < s.sectorSize,
		s.agBlocks < 64 || agShift > 32 || s.agBlocks > 1<<agShift:
		return volume.Refuse("its superblock is damaged: the sizes of blocks or groups cannot be; run xfs_repair")
	case blocks == 0 || blocks > uint64(size/s.blockSize):
		return volume.Refuse("it is damaged or cut off: it should have %d blocks of %d bytes, more than the partition", blocks, s.blockSize)
	}
	s.blocks = int64(blocks)
	if s.agCount != (s.blocks+s.agBlocks-1)/s.agBlocks {
		return volume.Refuse("its superblock is damaged: %d groups of %d blocks for %d blocks; run xfs_repair", s.agCount, s.agBlocks, s.blocks)
	}
	if start == 0 {
		return volume.Refuse("its log lies on another disk, so that nobody can tell whether it is clean")
	}
	s.logBlocks = u32(96)
	group := start >> agShift
	if group >= uint64(s.agCount) {
		return volume.Refuse("its superblock is damaged: the log lies outside the volume; run xfs_repair")
	}
	s.logAG, s.logFirst = int64(group), int64(start&(1<<agShift-1))
	if s.logBlocks < 1 || s.logFirst > s.groupBlocks(s.logAG) || s.logBlocks > s.groupBlocks(s.logAG)-s.logFirst {
		return volume.Refuse("its superblock is damaged: the log lies outside its group; run xfs_repair")
	}
	return nil
}

// groupBlocks is the length of an allocation group; the last may be shorter than the others.
func (s *superblock) groupBlocks(group int64) int64 {
	return min(s.agBlocks, s.blocks-group*s.agBlocks)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// summed says whether p has the checksum that it bears at a place.
func summed(p []byte, at int) bool {
	c := crc32.Update(0, castagnoli, p[:at])
	c = crc32.Update(c, castagnoli, []byte{0, 0, 0, 0})
	return crc32.Update(c, castagnoli, p[at+4:]) == binary.LittleEndian.Uint32(p[at:])
}
