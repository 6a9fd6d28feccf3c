package ntfs

import (
	"cmp"
	"context"
	"slices"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

// bitmapChunk is how much of $Bitmap is read at a time, in bytes: 4 GiB in clusters of 4 KiB.
const bitmapChunk = 128 << 10

// Free calls yield for the runs of bytes of the volume that belong to no file, in ascending order. It refuses with a [volume.Refusal] where $Bitmap calls
// one of the system's own files free. Call it only if Open did not refuse.
func (v *Volume) Free(ctx context.Context, yield volume.Yield) error {
	kept := slices.Clone(v.kept)
	slices.SortFunc(kept, func(a, b run) int { return cmp.Compare(a.first, b.first) })
	out := volume.Merger{Yield: yield}
	p := make([]byte, bitmapChunk)
	for first := int64(0); first < v.boot.clusters; first += bitmapChunk * 8 {
		n := min(bitmapChunk*8, v.boot.clusters-first)
		p = p[:(n+7)/8]
		if err := v.bitmap.read(ctx, p, first/8); err != nil {
			return err
		}
		err := volume.ClearBits(p, n, func(bit, count int64) error {
			at := first + bit
			for len(kept) > 0 && kept[0].first+kept[0].count <= at {
				kept = kept[1:]
			}
			if len(kept) > 0 && kept[0].first < at+count {
				return volume.Refuse("it is damaged: $Bitmap calls free what a system file has (%v); run chkdsk", kept[0])
			}
			return out.Add(at*v.boot.clusterSize, count*v.boot.clusterSize)
		})
		if err != nil {
			return err
		}
	}
	return out.Flush()
}
