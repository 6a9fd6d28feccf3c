package xfs_test

import (
	"testing"

	"github.com/sharevm/vmm/disk/guest/internal/fstest"
	"github.com/sharevm/vmm/disk/guest/xfs"
)

// FuzzVolume gets behind the checksums by seeds of version 4, which has none.
func FuzzVolume(f *testing.F) {
	fstest.Seeds(f, xfs.Open)
	f.Fuzz(func(t *testing.T, p []byte) { fstest.Exercise(t, fstest.Unpack(p), xfs.Open) })
}
