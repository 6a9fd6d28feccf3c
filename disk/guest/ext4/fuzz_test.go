package ext4_test

import (
	"testing"

	"github.com/sharevm/vmm/disk/guest/ext4"
	"github.com/sharevm/vmm/disk/guest/internal/fstest"
)

func FuzzVolume(f *testing.F) {
	fstest.Seeds(f, ext4.Open)
	f.Fuzz(func(t *testing.T, p []byte) { fstest.Exercise(t, fstest.Unpack(p), ext4.Open) })
}
