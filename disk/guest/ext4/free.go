package ext4

import (
	"context"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

// Free calls yield for the runs of bytes of the volume that no file and no table uses, in ascending order. It refuses with a [volume.Refusal], possibly after
// it has yielded some, where bitmaps, checksums and counts do not agree.
func (v *Volume) Free(ctx context.Context, yield volume.Yield) error {
	s := &v.super
	tables, err := v.tables(ctx)
	if err != nil {
		return err
	}
	out := volume.Merger{Yield: yield}
	bitmap := make([]byte, s.perGroup/s.clusterBlocks/8)
	err = v.eachGroup(ctx, func(g int64, d group) error {
		start := s.first + g*s.perGroup
		blocks := min(s.perGroup, s.blocks-start)
		clusters := (blocks + s.clusterBlocks - 1) / s.clusterBlocks
		if d.uninit {
			clear(bitmap)
		} else if err := v.bitmap(ctx, g, d, bitmap); err != nil {
			return err
		}
		// What the tables of any group occupy here. Where the bitmap was never written, this is all that it would say.
		for len(tables) > 0 && tables[0].first < start+blocks {
			t := tables[0]
			from, to := max(t.first, start), min(t.first+t.count, start+blocks)
			for c := (from - start) / s.clusterBlocks; from < to && c <= (to-1-start)/s.clusterBlocks; c++ {
				if !d.uninit && bitmap[c/8]>>(c%8)&1 == 0 {
					return volume.Refuse("it is damaged: block group %d has one of the file system's tables marked as free; run e2fsck", g)
				}
				bitmap[c/8] |= 1 << (c % 8)
			}
			if t.first+t.count > start+blocks {
				break
			}
			tables = tables[1:]
		}
		free := int64(0)
		err := volume.ClearBits(bitmap, clusters, func(first, count int64) error {
			free += count
			off, end := first*s.clusterBlocks, min((first+count)*s.clusterBlocks, blocks)
			return out.Add((start+off)*s.blockSize, (end-off)*s.blockSize)
		})
		if err == nil && free != d.free {
			return volume.Refuse("it is damaged: block group %d has %d free clusters, its descriptor says %d; run e2fsck", g, free, d.free)
		}
		return err
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// bitmap reads the bitmap of a group and checks it against the descriptor.
func (v *Volume) bitmap(ctx context.Context, g int64, d group, p []byte) error {
	s := &v.super
	if err := v.r.Read(ctx, p, d.bitmap*s.blockSize); err != nil {
		return err
	}
	if s.ro&roMetadataCsum == 0 {
		return nil
	}
	sum := crc32c(s.seed, p)
	if s.incompat&incompat64 == 0 {
		sum &= 0xffff
	}
	if sum != d.sum {
		return volume.Refuse("it is damaged: the bitmap of block group %d has a wrong checksum; run e2fsck", g)
	}
	return nil
}
