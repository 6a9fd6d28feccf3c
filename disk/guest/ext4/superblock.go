package ext4

import (
	"context"
	"encoding/binary"
	"hash/crc32"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

const (
	superAt   = 1024
	superSize = 1024
	magic     = 0xef53
)

// Compatible features that are known, none of which has a say in which blocks are free.
const (
	compatJournal      = 0x4
	compatSparseSuper2 = 0x200
	// preallocation, imagic, journal, xattr, resize_inode, dir_index, sparse_super2, fast_commit, stable_inodes, orphan_file
	compatKnown = 0x1 | 0x2 | compatJournal | 0x8 | 0x10 | 0x20 | compatSparseSuper2 | 0x400 | 0x800 | 0x1000
)

// Incompatible features.
const (
	incompatCompression = 0x1
	incompatRecover     = 0x4
	incompatJournalDev  = 0x8
	incompatMetaBG      = 0x10
	incompatExtents     = 0x40
	incompat64          = 0x80
	incompatFlexBG      = 0x200
	incompatCsumSeed    = 0x2000
	// filetype, recover, meta_bg, extents, 64bit, mmp, flex_bg, ea_inode, dirdata, csum_seed, largedir, inline_data, encrypt, casefold
	incompatKnown = 0x2 | incompatRecover | incompatMetaBG | incompatExtents | incompat64 | 0x100 | incompatFlexBG | 0x400 | 0x1000 |
		incompatCsumSeed | 0x4000 | 0x8000 | 0x10000 | 0x20000
)

// Features that matter to who writes.
const (
	roSparseSuper   = 0x1
	roHugeFile      = 0x8
	roGDTCsum       = 0x10
	roBigalloc      = 0x200
	roMetadataCsum  = 0x400
	roOrphanPresent = 0x10000
	// sparse_super, large_file, btree_dir, huge_file, gdt_csum, dir_nlink, extra_isize, quota, bigalloc, metadata_csum, readonly, project, verity,
	// orphan_present
	roKnown = roSparseSuper | 0x2 | 0x4 | roHugeFile | roGDTCsum | 0x20 | 0x40 | 0x100 | roBigalloc | roMetadataCsum | 0x1000 | 0x2000 | 0x8000 |
		roOrphanPresent
)

const (
	stateClean = 1
	stateError = 2
)

// maxGroups caps the table of what the groups keep for themselves: 128 TiB in blocks of 4 KiB.
const maxGroups = 1 << 20

// superblock is what the superblock says, checked.
type superblock struct {
	compat, incompat, ro uint32
	blockSize            int64
	blocks               int64 // of the volume
	first                int64 // the block that group 0 starts at
	perGroup             int64 // blocks
	clusterBlocks        int64 // blocks that a bit of the bitmaps stands for
	groups               int64
	inodeBlocks          int64 // of a group's inode table
	descSize             int64
	reservedDesc         int64 // blocks that are kept for descriptors of groups to come
	firstMetaBG          int64
	backups              [2]int64
	seed                 uint32 // of the checksums, with metadata_csum
	crc16                uint16 // of the UUID, with gdt_csum
}

// Claims says whether head, the first 4 KiB of a volume, bears a superblock.
func Claims(head []byte) bool {
	return len(head) >= superAt+superSize && binary.LittleEndian.Uint16(head[superAt+0x38:]) == magic
}

// Volume is a file system whose free blocks can be told.
type Volume struct {
	super superblock
	r     volume.Reader
}

// Open judges a volume by its superblock. It refuses with a [volume.Refusal].
func Open(ctx context.Context, r volume.Reader) (*Volume, error) {
	p := make([]byte, superSize)
	if err := r.Read(ctx, p, superAt); err != nil {
		return nil, err
	}
	v := &Volume{r: r}
	return v, v.super.parse(p, r.Size)
}

// Name is "ext2", "ext3" or "ext4", by the features that the superblock lists.
func (v *Volume) Name() string {
	s := &v.super
	switch {
	case s.incompat&(incompatExtents|incompat64|incompatFlexBG|incompatMetaBG) != 0 || s.ro&^(roSparseSuper|0x2|0x4) != 0:
		return "ext4"
	case s.compat&compatJournal != 0:
		return "ext3"
	}
	return "ext2"
}

func (s *superblock) parse(p []byte, size int64) error {
	le := binary.LittleEndian
	u16 := func(at int) int64 { return int64(le.Uint16(p[at:])) }
	u32 := func(at int) int64 { return int64(le.Uint32(p[at:])) }
	if u16(0x38) != magic {
		return volume.Refuse("it is damaged: it has no ext4 superblock")
	}
	revision, inodeSize := u32(0x4c), int64(128)
	if revision > 0 {
		s.compat, s.incompat, s.ro = le.Uint32(p[0x5c:]), le.Uint32(p[0x60:]), le.Uint32(p[0x64:])
		inodeSize = u16(0x58)
	}
	if err := s.accept(p); err != nil {
		return err
	}

	logBlock, logCluster := u32(0x18), u32(0x1c)
	if logBlock > 6 || revision > 1 {
		return volume.Refuse("it is damaged, or newer than what is known: revision %d, block size exponent %d", revision, logBlock)
	}
	s.blockSize = 1024 << logBlock
	s.clusterBlocks = 1
	if s.ro&roBigalloc != 0 {
		if logCluster < logBlock || logCluster-logBlock > 16 {
			return volume.Refuse("it is damaged: its cluster size cannot be")
		}
		s.clusterBlocks = 1 << (logCluster - logBlock)
	}
	s.blocks, s.first, s.perGroup = u32(4), u32(0x14), u32(0x20)
	s.descSize = 32
	if s.incompat&incompat64 != 0 {
		s.blocks |= u32(0x150) << 32
		s.descSize = u16(0xfe)
	}
	clusters, inodes := s.perGroup/s.clusterBlocks, u32(0x28)
	switch {
	case s.blocks < 1 || s.blocks > size/s.blockSize:
		return volume.Refuse("it is damaged or cut off: it should have %d blocks of %d bytes, more than the partition", s.blocks, s.blockSize)
	case s.blockSize == 1024 && s.first != 1 || s.blockSize > 1024 && s.first != 0:
		return volume.Refuse("its first block is number %d, which is not known for blocks of %d bytes", s.first, s.blockSize)
	case s.first >= s.blocks, s.perGroup < 1, s.perGroup%s.clusterBlocks != 0, clusters > 8*s.blockSize, clusters%8 != 0,
		inodes < 1, inodes > 8*s.blockSize, inodeSize < 128, inodeSize > s.blockSize, inodeSize&(inodeSize-1) != 0,
		s.descSize < 32, s.descSize > s.blockSize, s.descSize&(s.descSize-1) != 0, s.incompat&incompat64 != 0 && s.descSize < 64:
		return volume.Refuse("it is damaged: the sizes in its superblock cannot be")
	}
	s.groups = (s.blocks - s.first + s.perGroup - 1) / s.perGroup
	if s.groups > maxGroups {
		return volume.Refuse("it has %d block groups, more than the %d that are read", s.groups, maxGroups)
	}
	s.inodeBlocks = (inodes*inodeSize + s.blockSize - 1) / s.blockSize
	s.reservedDesc, s.firstMetaBG = u16(0xce), u32(0x104)
	s.backups = [2]int64{u32(0x24c), u32(0x250)}
	uuid := p[0x68 : 0x68+16]
	s.crc16 = crc16(0xffff, uuid)
	if s.seed = crc32c(^uint32(0), uuid); s.incompat&incompatCsumSeed != 0 {
		s.seed = le.Uint32(p[0x270:])
	}
	return nil
}

// accept judges the state and the features.
func (s *superblock) accept(p []byte) error {
	le := binary.LittleEndian
	if s.ro&roMetadataCsum != 0 {
		if p[0x175] != 1 {
			return volume.Refuse("its checksums are of a kind that is not known")
		}
		if crc32c(^uint32(0), p[:0x3fc]) != le.Uint32(p[0x3fc:]) {
			return volume.Refuse("it is damaged: its superblock has a wrong checksum; run e2fsck")
		}
	}
	state := le.Uint16(p[0x3a:])
	switch {
	case s.incompat&incompatJournalDev != 0:
		return volume.Refuse("it is the journal of another file system")
	case s.incompat&incompatCompression != 0 || s.incompat&^incompatKnown != 0 || s.ro&^roKnown != 0 || s.compat&^compatKnown != 0:
		return volume.Refuse("it has features that are not known here (compatible %#x, incompatible %#x, read-only %#x)",
			s.compat&^compatKnown, s.incompat&^incompatKnown, s.ro&^roKnown)
	case s.incompat&incompatRecover != 0:
		return volume.Refuse("it was not cleanly unmounted and its journal must be replayed; boot the guest once and shut it down, or run e2fsck")
	case state&stateError != 0:
		return volume.Refuse("the guest found errors in it; run e2fsck")
	case state&stateClean == 0 || s.ro&roOrphanPresent != 0:
		return volume.Refuse("it was not cleanly unmounted; boot the guest once and shut it down, or run e2fsck")
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c is the checksum as the kernel chains it, without inverting it at either end.
func crc32c(seed uint32, p []byte) uint32 { return ^crc32.Update(^seed, castagnoli, p) }

// crc16 is the checksum of gdt_csum, with the polynomial x^16 + x^15 + x^2 + 1, lowest bit first.
func crc16(crc uint16, p []byte) uint16 {
	for _, b := range p {
		crc ^= uint16(b)
		for range 8 {
			crc = crc>>1 ^ 0xa001*(crc&1)
		}
	}
	return crc
}
