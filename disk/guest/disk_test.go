package guest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/guest"
)

// partitioned makes a disk of 64 MiB by a script for sfdisk, and copies an image into each partition that is named by its first sector.
func partitioned(t *testing.T, script string, images map[int64]string) string {
	t.Helper()
	disktest.FindTool(t, "sfdisk", "fdisk")
	path := blank(t, 64*mib)
	file := filepath.Join(t.TempDir(), "script")
	must(t, os.WriteFile(file, []byte(script), 0o600))
	disktest.FindTool(t, "sh", "dash").Run("-c", fmt.Sprintf("sfdisk --quiet %s < %s", path, file))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	for sector, image := range images {
		p, err := os.ReadFile(image)
		must(t, err)
		_, err = f.WriteAt(p, sector*512)
		must(t, err)
	}
	return path
}

// TestDisk overwrites what is free in the partitions of a GPT, the gaps between them as well, and finds the file systems and the table sound.
func TestDisk(t *testing.T) {
	small := map[int64]string{
		4096:  makeFAT(t, 8*mib, "-F", "16", "-s", "1"),
		24576: makeExt4(t, 8*mib, "-t", "ext4", "-b", "1024"),
		65536: makeNTFS(t, 8*mib, mib, "-s", "512"),
	}
	path := partitioned(t, "label: gpt\nstart=4096, size=16384\nstart=65536, size=16384\nstart=24576, size=16384\n", small)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	for _, gaps := range []bool{false, true} {
		l, err := guest.Scan(t.Context(), f, 64*mib, 512)
		must(t, err)
		if l.Gaps = gaps; l.End() != (65536+16384)*512 || l.Tail != 33*512 {
			t.Errorf("the last partition ends at %d, the table needs %d bytes", l.End(), l.Tail)
		}
		total, between, at := int64(0), int64(0), int64(-1)
		must(t, l.Free(t.Context(), func(off, n int64) error {
			if off <= at {
				t.Errorf("%d bytes at %d, after what ended at %d", n, off, at)
			}
			at, total = off+n, total+n
			return nil
		}))
		for k, p := range l.Partitions {
			total -= p.Unused
			if want := []string{"fat16", "ntfs", "ext4"}[k]; p.FileSystem != want || p.Reason != "" || p.Unused < mib {
				t.Errorf("%+v, want %s", p, want)
			}
		}
		if gaps { // all but the partitions and a MiB at both ends
			between = (64 - 3*8 - 2) * mib
		}
		if total != between {
			t.Errorf("gaps %v: %d bytes between the partitions, want %d", gaps, total, between)
		}
	}
	spoil(t, path)
	if out := disktest.FindTool(t, "sgdisk", "gdisk").Run("--verify", path); !strings.Contains(out, "No problems found") {
		t.Error(out)
	}
	p, err := os.ReadFile(path)
	must(t, err)
	for sector, j := range map[int64]judge{4096: fatJudge, 24576: ext4Judge, 65536: ntfsJudge} {
		before := hashes(t, small[sector], j)
		image := filepath.Join(t.TempDir(), "part.img")
		must(t, os.WriteFile(image, p[sector*512:][:8*mib], 0o600))
		j.check(t, image)
		after := hashes(t, image, j)
		for name := range before {
			if after[name] != before[name] {
				t.Errorf("%s changed", name)
			}
		}
	}
}

// TestDiskRefused has one partition speak for the others.
func TestDiskRefused(t *testing.T) {
	ntfs, fat := blank(t, 4*mib), blank(t, 4*mib)
	disktest.FindTool(t, "mkntfs", "ntfs-3g").Run("-q", "-F", "-s", "512", "-p", "0", "-H", "0", "-S", "0", ntfs)
	disktest.FindTool(t, "mkfs.vfat", "dosfstools").Run(fat)
	hibernated := blank(t, 4*mib)
	p, err := os.ReadFile(ntfs)
	must(t, err)
	must(t, os.WriteFile(hibernated, p, 0o600))
	source := filepath.Join(t.TempDir(), "source")
	must(t, os.WriteFile(source, append([]byte("HIBR"), make([]byte, 9000)...), 0o600))
	disktest.FindTool(t, "ntfscp", "ntfs-3g").Run("-q", hibernated, source, "hiberfil.sys")

	const two = "label: dos\nstart=2048, size=8192, type=7\nstart=10240, size=8192, type="
	for _, c := range []struct {
		name, script, first string
		boot                func(p []byte)
		says                [2]string
	}{
		{"in order", two + "c\n", ntfs, func([]byte) {}, [2]string{"", ""}},
		{"hibernated", two + "c\n", hibernated, func([]byte) {}, [2]string{"Windows is hibernated on it", "hibernated on partition 1"}},
		{"dynamic", two + "42\n", ntfs, func([]byte) {}, [2]string{"dynamic disk", "dynamic disk"}},
		{"LVM", two + "8e\n", ntfs, func([]byte) {}, [2]string{"", "LVM"}},
		{"RAID", two + "fd\n", ntfs, func([]byte) {}, [2]string{"", "RAID"}},
		{"boot sector", two + "c\n", ntfs, func(p []byte) { copy(p, "\xeb\x52\x90NTFS    ") }, [2]string{"at once", "at once"}},
	} {
		path := partitioned(t, c.script, map[int64]string{2048: c.first, 10240: fat})
		patched(t, c.boot)(path)
		for k, p := range spoil(t, path).Partitions {
			if !strings.Contains(p.Reason, c.says[k]) || (p.Reason == "") != (c.says[k] == "") || (p.Unused > 0) != (c.says[k] == "") {
				t.Errorf("%s: %+v", c.name, p)
			}
		}
	}
}
