package ntfs_test

import (
	"context"
	"testing"

	"github.com/sharevm/vmm/disk/guest/internal/fstest"
	"github.com/sharevm/vmm/disk/guest/internal/volume"
	"github.com/sharevm/vmm/disk/guest/ntfs"
)

func FuzzVolume(f *testing.F) {
	fstest.Seeds(f, opener(true))
	f.Fuzz(func(t *testing.T, p []byte) {
		v := fstest.Unpack(p)
		for _, lose := range []bool{false, true} {
			fstest.Exercise(t, v, opener(lose))
		}
	})
}

func opener(lose bool) func(context.Context, volume.Reader) (*ntfs.Volume, error) {
	return func(ctx context.Context, r volume.Reader) (*ntfs.Volume, error) {
		return ntfs.Open(ctx, r, ntfs.Options{LoseShadowCopies: lose})
	}
}
