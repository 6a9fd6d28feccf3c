package exfat

import (
	"context"
	"slices"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

// chunk is how much of the bitmap is read at a time, in bytes.
const chunk = 64 << 10

// Free calls yield for the runs of bytes of the volume that belong to no file, in ascending order. It refuses with a [volume.Refusal] where the bitmap
// calls itself or the root directory free.
func (v *Volume) Free(ctx context.Context, yield volume.Yield) error {
	kept := slices.Clone(v.kept)
	slices.Sort(kept)
	out := volume.Merger{Yield: yield}
	buf := make([]byte, min(chunk, v.clusterSize))
	bits := v.clusters // that are left
	cluster := int64(2)
	for _, c := range v.bitmap {
		for at := int64(0); at < v.clusterSize && bits > 0; at += int64(len(buf)) {
			n := min(bits, int64(len(buf))*8)
			p := buf[:(n+7)/8]
			if err := v.r.Read(ctx, p, v.offset(c)+at); err != nil {
				return err
			}
			err := volume.ClearBits(p, n, func(first, count int64) error {
				first += cluster
				if k, _ := slices.BinarySearch(kept, first); k < len(kept) && kept[k] < first+count {
					return volume.Refuse("it is damaged: its bitmap calls cluster %d free, which is the file system's own; run a disk check", kept[k])
				}
				return out.Add(v.offset(first), count*v.clusterSize)
			})
			if err != nil {
				return err
			}
			cluster, bits = cluster+n, bits-n
		}
	}
	return out.Flush()
}
