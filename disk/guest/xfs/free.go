package xfs

import (
	"bytes"
	"context"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

const (
	agfMagic  = "XAGF"
	agfCRCAt  = 216
	agfUUIDAt = 64

	treeMagic4  = "ABTB"
	treeMagic5  = "AB3B"
	treeHeader4 = 16
	treeHeader5 = 56
	treeUUIDAt  = 32
	treeOwnerAt = 48
	treeCRCAt   = 52
	noBlock     = 0xffffffff
	maxLevels   = 9
)

// group is an allocation group's header of free space.
type group struct {
	number, blocks int64
	root, levels   int64
	free, longest  int64 // blocks
}

// Free calls yield for the runs of bytes of the volume that are free, in ascending order: those of each allocation group's B+tree by block number. It refuses with
// a [volume.Refusal] where the tree contradicts itself or the group's header.
func (v *Volume) Free(ctx context.Context, yield volume.Yield) error {
	out := volume.Merger{Yield: yield}
	for n := range v.super.agCount {
		g, err := v.group(ctx, n)
		if err != nil {
			return err
		}
		if err := v.walk(ctx, g, out.Add); err != nil {
			return err
		}
	}
	return out.Flush()
}

// group reads the header of an allocation group.
func (v *Volume) group(ctx context.Context, number int64) (g group, err error) {
	s := &v.super
	p := make([]byte, s.sectorSize)
	if err := v.r.Read(ctx, p, number*s.agBlocks*s.blockSize+s.sectorSize); err != nil {
		return g, err
	}
	u32 := func(at int) int64 { return int64(be.Uint32(p[at:])) }
	g = group{number, s.groupBlocks(number), u32(16), u32(28), u32(52), u32(56)}
	if string(p[:4]) != agfMagic || u32(4) != 1 || u32(8) != number || u32(12) != g.blocks || g.levels < 1 || g.levels > maxLevels ||
		s.version == 5 && (!summed(p, agfCRCAt) || !bytes.Equal(p[agfUUIDAt:][:16], s.metaUUID[:])) {
		return g, volume.Refuse("it is damaged: the header of free space of allocation group %d is not right; run xfs_repair", number)
	}
	return g, nil
}

// walk goes down the left side of the tree and then along its leaves, whose records must ascend, so that no leaf comes twice.
func (v *Volume) walk(ctx context.Context, g group, yield volume.Yield) error {
	s := &v.super
	broken := volume.Refuse("it is damaged: the list of free space of allocation group %d contradicts itself; run xfs_repair", g.number)
	header, magic := int64(treeHeader4), treeMagic4
	if s.version == 5 {
		header, magic = treeHeader5, treeMagic5
	}
	// What no list can call free: the four headers at the group's start, the tree's root, and the log.
	kept := [3][2]int64{{0, (4*s.sectorSize + s.blockSize - 1) / s.blockSize}, {g.root, 1}}
	if g.number == s.logAG {
		kept[2] = [2]int64{s.logFirst, s.logBlocks}
	}
	p := make([]byte, s.blockSize)
	next, total, longest := int64(0), int64(0), int64(0)
	leaves := 0
	for block, level := g.root, g.levels-1; block != noBlock; {
		if block >= g.blocks {
			return broken
		}
		if err := v.r.Read(ctx, p, (g.number*s.agBlocks+block)*s.blockSize); err != nil {
			return err
		}
		records := int64(be.Uint16(p[6:]))
		if string(p[:4]) != magic || int64(be.Uint16(p[4:])) != level ||
			s.version == 5 && (!summed(p, treeCRCAt) || !bytes.Equal(p[treeUUIDAt:][:16], s.metaUUID[:]) || int64(be.Uint32(p[treeOwnerAt:])) != g.number) {
			return broken
		}
		if level > 0 {
			most := (s.blockSize - header) / 12 // keys of eight bytes, then pointers of four
			if records < 1 || records > most {
				return broken
			}
			block, level = int64(be.Uint32(p[header+8*most:])), level-1
			continue
		}
		leaves++
		right := int64(be.Uint32(p[12:]))
		if records > (s.blockSize-header)/8 || records == 0 && (leaves > 1 || right != noBlock) {
			return broken
		}
		for k := range records {
			first, count := int64(be.Uint32(p[header+8*k:])), int64(be.Uint32(p[header+8*k+4:]))
			if first < next || count < 1 || count > g.blocks-first {
				return broken
			}
			for _, r := range kept {
				if first < r[0]+r[1] && r[0] < first+count {
					return broken
				}
			}
			next, total, longest = first+count, total+count, max(longest, count)
			if err := yield((g.number*s.agBlocks+first)*s.blockSize, count*s.blockSize); err != nil {
				return err
			}
		}
		block = right
	}
	if total != g.free || longest != g.longest {
		return broken
	}
	return nil
}
