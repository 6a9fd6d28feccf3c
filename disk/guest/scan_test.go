package guest_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/guest"
)

// TestNotRecognised scans disks that hold nothing known: they are one partition without free space, with the reason.
func TestNotRecognised(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 4096, 100000} {
		for _, fill := range []byte{0, 0xff} {
			disk := bytes.Repeat([]byte{fill}, size)
			l, err := guest.Scan(t.Context(), bytes.NewReader(disk), int64(size), 512)
			if err != nil {
				t.Fatalf("%d bytes of %#x: %v", size, fill, err)
			}
			if l.Scheme != "" || len(l.Partitions) != 1 || l.Partitions[0].Length != int64(size) || l.Partitions[0].Reason == "" {
				t.Errorf("%d bytes of %#x: %+v", size, fill, l)
			}
			if err := l.Free(t.Context(), func(off, n int64) error { t.Errorf("free: %d bytes at %d", n, off); return nil }); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestForeign(t *testing.T) {
	for _, c := range []struct {
		off               int
		magic, name, says string
	}{
		{3, "-FVE-FS-", "bitlocker", "BitLocker"},
		{0, "LUKS\xba\xbe", "luks", "LUKS"},
		{512, "LABELONE", "lvm", "LVM"},
		{4096, "\xfc\x4e\x2b\xa9", "raid", "RAID"},
		{1<<20 - 64<<10, "\xfc\x4e\x2b\xa9", "raid", "RAID"},
		{1<<20 - 8<<10, "\xfc\x4e\x2b\xa9", "raid", "RAID"},
		{0x10040, "_BHRfS_M", "btrfs", "btrfs"},
		{4086, "SWAPSPACE2", "swap", "swap"},
	} {
		disk := make([]byte, 1<<20)
		copy(disk[c.off:], c.magic)
		l, err := guest.Scan(t.Context(), bytes.NewReader(disk), int64(len(disk)), 512)
		if err != nil {
			t.Fatal(err)
		}
		if p := l.Partitions[0]; p.FileSystem != c.name || !strings.Contains(p.Reason, c.says) {
			t.Errorf("%s at %d: %+v", c.name, c.off, p)
		}
	}
}

func TestScanCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := guest.Scan(ctx, bytes.NewReader(make([]byte, 1<<20)), 1<<20, 512); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
