package guest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/disktest"
)

var ext4Judge = judge{
	check: func(t *testing.T, image string) {
		t.Helper()
		disktest.FindTool(t, "e2fsck", "e2fsprogs").Run("-fn", image)
	},
	files: func(t *testing.T, image, folder string) {
		t.Helper()
		disktest.FindTool(t, "debugfs", "e2fsprogs").Run("-R", "rdump / "+folder, image)
	},
	free: func(t *testing.T, image string) int64 {
		t.Helper()
		out := disktest.FindTool(t, "dumpe2fs", "e2fsprogs").Run("-h", image)
		return number(t, out, `Free blocks: +(\d+)`) * number(t, out, `Block size: +(\d+)`)
	},
}

// number finds a number in a program's output.
func number(t *testing.T, out, pattern string) int64 {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("%s not found in:\n%s", pattern, out)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	must(t, err)
	return n
}

// makeExt4 makes a file system, fills it, and deletes some of it again.
func makeExt4(t *testing.T, size int64, args ...string) string {
	t.Helper()
	image := blank(t, size)
	folder, doomed := content(t, int(size/6))
	disktest.FindTool(t, "mke2fs", "e2fsprogs").Run(append(args, "-q", "-F", "-d", folder, image)...)
	script := filepath.Join(t.TempDir(), "script")
	must(t, os.WriteFile(script, []byte("rm "+strings.Join(doomed, "\nrm ")+"\n"), 0o600))
	disktest.FindTool(t, "debugfs", "e2fsprogs").Run("-w", "-f", script, image)
	return image
}

func TestExt4(t *testing.T) {
	for _, c := range []struct {
		name, is string
		args     []string
	}{
		{"ext4", "ext4", []string{"-t", "ext4", "-b", "1024"}},
		{"4k", "ext4", []string{"-t", "ext4", "-b", "4096", "-g", "1024"}},
		{"no flex_bg", "ext4", []string{"-t", "ext4", "-b", "4096", "-g", "512", "-O", "^flex_bg"}},
		{"no 64bit", "ext4", []string{"-t", "ext4", "-b", "1024", "-O", "^64bit"}},
		{"uninit_bg", "ext4", []string{"-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg"}},
		{"uninit_bg no 64bit", "ext4", []string{"-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg,^64bit"}},
		{"meta_bg", "ext4", []string{"-t", "ext4", "-b", "1024", "-g", "1024", "-O", "meta_bg,^resize_inode"}},
		{"meta_bg no 64bit", "ext4", []string{"-t", "ext4", "-b", "1024", "-g", "512", "-N", "4096", "-O", "meta_bg,^resize_inode,^64bit,^flex_bg"}},
		{"bigalloc", "ext4", []string{"-t", "ext4", "-b", "4096", "-C", "16384", "-O", "bigalloc"}},
		{"sparse_super2", "ext4", []string{"-t", "ext4", "-b", "1024", "-O", "sparse_super2"}},
		{"no sparse_super", "ext4", []string{"-t", "ext4", "-b", "1024", "-O", "^sparse_super,^resize_inode"}},
		{"csum_seed", "ext4", []string{"-t", "ext4", "-b", "2048", "-g", "2048", "-O", "metadata_csum_seed,inline_data,casefold,encrypt"}},
		{"64k", "ext4", []string{"-t", "ext4", "-b", "65536", "-g", "256"}},
		{"ext3", "ext3", []string{"-t", "ext3", "-b", "1024"}},
		{"ext2", "ext2", []string{"-t", "ext2", "-b", "4096", "-g", "1024"}},
		{"revision 0", "ext2", []string{"-t", "ext2", "-b", "1024", "-r", "0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// An odd size has the last group and the last cluster cut short.
			prove(t, makeExt4(t, 50*mib+7*kib, c.args...), c.is, ext4Judge)
		})
	}
}

// TestExt4Refused trusts nothing that was not left in order.
func TestExt4Refused(t *testing.T) {
	debugfs := disktest.FindTool(t, "debugfs", "e2fsprogs")
	sums := []string{"-t", "ext4", "-b", "1024"}
	noSums := []string{"-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^uninit_bg"}
	for _, c := range []struct {
		name   string
		args   []string
		change string // by debugfs
		says   string
	}{
		{"mounted", sums, "feature needs_recovery", "not cleanly unmounted"},
		{"not clean", sums, "ssv state 0", "not cleanly unmounted"},
		{"errors", sums, "ssv state 3", "errors"},
		{"orphans", sums, "feature orphan_present", "not cleanly unmounted"},
		{"incompatible", sums, "feature FEATURE_I30", "not known"},
		{"read-only compatible", sums, "feature FEATURE_R30", "not known"},
		{"compatible", sums, "feature FEATURE_C30", "not known"},
		{"journal device", sums, "feature journal_dev", "journal of another"},
		{"too many blocks", noSums, "ssv blocks_count 9000", "cut off"},
		{"block size", noSums, "ssv log_block_size 9", "exponent"},
		{"no groups", noSums, "ssv blocks_per_group 0", "cannot be"},
		{"inode size", noSums, "ssv inode_size 1000", "cannot be"},
		{"count", noSums, "set_bg 0 free_blocks_count 17", "free clusters"},
		{"bitmap outside", noSums, "set_bg 0 block_bitmap 9000", "outside"},
		{"bitmap elsewhere", noSums, "set_bg 0 block_bitmap 4000", "marked as free"},
		{"descriptor", sums, "set_bg 0 checksum 17", "checksum"},
	} {
		image := blank(t, 8*mib)
		disktest.FindTool(t, "mke2fs", "e2fsprogs").Run(append(c.args, "-q", "-F", image)...)
		debugfs.Run("-w", "-R", c.change, image)
		p := spoil(t, image).Partitions[0]
		if p.FileSystem != "ext4" || !strings.Contains(p.Reason, c.says) || p.Unused != 0 {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
}
