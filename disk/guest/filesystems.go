package guest

import (
	"context"

	"github.com/sharevm/vmm/disk/guest/exfat"
	"github.com/sharevm/vmm/disk/guest/ext4"
	"github.com/sharevm/vmm/disk/guest/fat"
	"github.com/sharevm/vmm/disk/guest/internal/volume"
	"github.com/sharevm/vmm/disk/guest/ntfs"
	"github.com/sharevm/vmm/disk/guest/xfs"
)

// fileSystems are those that are read.
var fileSystems = []fileSystem{
	{name: "ext4", claims: ext4.Claims, open: func(ctx context.Context, r volume.Reader, _ options) (fileSystemVolume, error) {
		return opened(ext4.Open(ctx, r))
	}},
	{name: "exfat", claims: exfat.Claims, open: func(ctx context.Context, r volume.Reader, _ options) (fileSystemVolume, error) {
		return opened(exfat.Open(ctx, r))
	}},
	{name: "fat", claims: fat.Claims, open: func(ctx context.Context, r volume.Reader, _ options) (fileSystemVolume, error) {
		return opened(fat.Open(ctx, r))
	}},
	{name: "ntfs", claims: ntfs.Claims, open: func(ctx context.Context, r volume.Reader, o options) (fileSystemVolume, error) {
		return opened(ntfs.Open(ctx, r, ntfs.Options{LoseShadowCopies: o.loseShadowCopies}))
	}},
	{name: "xfs", claims: xfs.Claims, open: func(ctx context.Context, r volume.Reader, _ options) (fileSystemVolume, error) {
		return opened(xfs.Open(ctx, r))
	}},
}

// fileSystemVolume is an open file system.
type fileSystemVolume interface {
	// Name is what people call it.
	Name() string
	// Free calls yield for the runs of bytes of the volume that nothing uses, in ascending order. A [volume.Refusal] says that the volume contradicts itself;
	// nothing that was yielded counts then.
	Free(ctx context.Context, yield volume.Yield) error
}

// opened hides a package's own type, and never makes an interface of its nil.
func opened[V interface {
	*E
	fileSystemVolume
}, E any](v V, err error) (fileSystemVolume, error) {
	if v == nil {
		return nil, err
	}
	return v, err
}
