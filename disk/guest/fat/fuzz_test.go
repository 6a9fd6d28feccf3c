package fat_test

import (
	"testing"

	"github.com/sharevm/vmm/disk/guest/fat"
	"github.com/sharevm/vmm/disk/guest/internal/fstest"
)

func FuzzVolume(f *testing.F) {
	fstest.Seeds(f, fat.Open)
	f.Fuzz(func(t *testing.T, p []byte) { fstest.Exercise(t, fstest.Unpack(p), fat.Open) })
}
