package exfat_test

import (
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/disk/guest/exfat"
	"github.com/sharevm/vmm/disk/guest/internal/fstest"
)

func FuzzVolume(f *testing.F) {
	fstest.Seeds(f, exfat.Open)
	f.Fuzz(func(t *testing.T, p []byte) {
		fstest.Exercise(t, fstest.Unpack(p), exfat.Open)
		if len(p) > 4+516 {
			fstest.Exercise(t, fstest.Unpack(mended(p)), exfat.Open)
		}
	})
}

// mended gives an input whose volume has sectors of 512 bytes the checksum of its boot region, so that mutations get behind it.
func mended(p []byte) []byte {
	boot := make([]byte, 11*512)
	fstest.Unpack(p).ReadAt(boot, 0)
	sum := uint32(0)
	for k, b := range boot {
		if k != 106 && k != 107 && k != 112 {
			sum = sum<<31 | sum>>1
			sum += uint32(b)
		}
	}
	piece := make([]byte, 4+512)
	binary.LittleEndian.PutUint32(piece, 11)
	binary.LittleEndian.PutUint32(piece[4:], sum)
	return append(p[:4+(len(p)-4)/516*516:len(p)], piece...)
}
