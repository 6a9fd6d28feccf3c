package tools

import (
	"context"

	"github.com/sharevm/vmm/disk"
)

// Defragment is Defrag of arenas.
var Defragment = defrag

// CompactImage is Compact of an open image, wherever its files are.
func CompactImage(ctx context.Context, i disk.Image, o CompactOptions) (*Compacted, error) {
	c := &compaction{o: o, image: i, r: &Compacted{}}
	return c.r, c.run(ctx)
}

// ResizeImage is Resize of an open image.
func ResizeImage(ctx context.Context, i disk.Image, o ResizeOptions) (*Resized, error) {
	z := newResize(i, o)
	return z.r, z.run(ctx)
}
