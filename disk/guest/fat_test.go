package guest_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/disktest"
)

var fatJudge = judge{
	check: func(t *testing.T, image string) {
		t.Helper()
		disktest.FindTool(t, "fsck.vfat", "dosfstools").Run("-n", image)
	},
	files: func(t *testing.T, image, folder string) {
		t.Helper()
		disktest.FindTool(t, "mcopy", "mtools").Run("-n", "-Q", "-s", "-i", image, "::/", folder)
	},
	free: func(t *testing.T, image string) int64 {
		t.Helper()
		out := disktest.FindTool(t, "minfo", "mtools").Run("-i", image, "::")
		size := number(t, out, `cluster size: (\d+) sectors`) * number(t, out, `sector size: (\d+) bytes`)
		// fsck counts files and the clusters that they have.
		sum := disktest.FindTool(t, "fsck.vfat", "dosfstools").Run("-n", image)
		return (number(t, sum, `files, \d+/(\d+) clusters`) - number(t, sum, `files, (\d+)/`)) * size
	},
}

func makeFAT(t *testing.T, size int64, args ...string) string {
	t.Helper()
	image := blank(t, size)
	disktest.FindTool(t, "mkfs.vfat", "dosfstools").Run(append(args, image)...)
	folder, doomed := content(t, int(min(size/6, 7*mib)))
	entries, err := os.ReadDir(folder)
	must(t, err)
	copying := []string{"-Q", "-s", "-i", image}
	for _, e := range entries {
		copying = append(copying, filepath.Join(folder, e.Name()))
	}
	disktest.FindTool(t, "mcopy", "mtools").Run(append(copying, "::/")...)
	deleting := []string{"-i", image}
	for _, name := range doomed {
		deleting = append(deleting, "::/"+name)
	}
	disktest.FindTool(t, "mdel", "mtools").Run(deleting...)
	return image
}

func TestFAT(t *testing.T) {
	for _, c := range []struct {
		name, is string
		size     int64
		args     []string
	}{
		{"12", "fat12", 15*mib + kib, []string{"-F", "12", "-s", "8"}},
		{"16", "fat16", 40*mib + kib, []string{"-F", "16", "-s", "2"}},
		{"16 one table", "fat16", 20 * mib, []string{"-F", "16", "-f", "1", "-s", "1"}},
		{"32", "fat32", 40*mib + kib, []string{"-F", "32", "-s", "1"}},
		{"16 sector 4k", "fat16", 30 * mib, []string{"-F", "16", "-S", "4096", "-s", "1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			prove(t, makeFAT(t, c.size, c.args...), c.is, fatJudge)
		})
	}
}

func TestFATRefused(t *testing.T) {
	for _, c := range []struct {
		name, is, says string
		args           []string
		change         func(p []byte)
	}{
		{"as made", "fat12", "", []string{"-F", "12"}, func([]byte) {}},
		{"dirty 12", "fat12", "not cleanly", []string{"-F", "12"}, func(p []byte) { p[0x25] = 1 }},
		{"dirty 16", "fat16", "not cleanly", []string{"-F", "16", "-s", "1"}, func(p []byte) { p[0x25] = 1 }},
		{"dirty 32", "fat32", "not cleanly", []string{"-F", "32", "-s", "1"}, func(p []byte) { p[0x41] = 1 }},
		{"dirty table 16", "fat16", "not cleanly", []string{"-F", "16", "-s", "1"}, func(p []byte) { table(p)[3] &= 0x7f }},
		{"errors 16", "fat16", "not cleanly", []string{"-F", "16", "-s", "1"}, func(p []byte) { table(p)[3] &= 0xbf }},
		{"dirty table 32", "fat32", "not cleanly", []string{"-F", "32", "-s", "1"}, func(p []byte) { table(p)[7] &= 0xf7 }},
		{"tables differ", "fat16", "differ", []string{"-F", "16", "-s", "1"}, func(p []byte) { table(p)[999] ^= 1 }},
		{"one table counts", "fat32", "", []string{"-F", "32", "-s", "1"}, func(p []byte) { table(p)[999] ^= 1; p[0x28] = 0x81 }},
		{"no such table", "fat32", "in use", []string{"-F", "32", "-s", "1"}, func(p []byte) { p[0x28] = 0x82 }},
		{"root free", "fat32", "root directory", []string{"-F", "32", "-s", "1", "-f", "1"}, func(p []byte) { clear(table(p)[8:12]) }},
		{"media", "fat16", "does not start", []string{"-F", "16", "-s", "1"}, func(p []byte) { table(p)[0]-- }},
		{"table short", "fat16", "too short", []string{"-F", "16", "-s", "1", "-f", "1"}, func(p []byte) { p[0x16] = 1; p[0x17] = 0 }},
		{"cut off", "fat16", "cut off", []string{"-F", "16", "-s", "1"}, func(p []byte) { p[0x14] = 0xff }},
		{"no clusters", "fat", "damaged", []string{"-F", "16", "-s", "1"}, func(p []byte) { p[0x10] = 200 }},
	} {
		image := blank(t, map[string]int64{"12": 3 * mib, "16": 20 * mib, "32": 36 * mib}[c.args[1]])
		disktest.FindTool(t, "mkfs.vfat", "dosfstools").Run(append(c.args, image)...)
		patched(t, c.change)(image)
		got := spoil(t, image).Partitions[0]
		if !strings.HasPrefix(got.FileSystem, "fat") || !strings.Contains(got.Reason, c.says) || (c.says == "") != (got.Reason == "") || (c.says == "") != (got.Unused > 0) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// table is the first FAT.
func table(p []byte) []byte {
	return p[int(binary.LittleEndian.Uint16(p[0x0e:]))*int(binary.LittleEndian.Uint16(p[0x0b:])):]
}
