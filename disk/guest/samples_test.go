package guest_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/guest"
)

// TestSamples pins what is seen on disks made by other people's programs, some of them Windows.
func TestSamples(t *testing.T) {
	dir := os.Getenv("VMM_SAMPLES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "samples")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no sample images: %v (VMM_SAMPLES names their folder)", err)
	}
	for _, c := range []struct {
		path, format, want string
	}{
		{"dfvfs/ext2.qcow2", "qcow2", "0 ext2 4022272"},
		{"dfvfs/windows_volume.qcow2", "qcow2", "0 ntfs 33296384"},
		{"plaso/image.qcow2", "qcow2", "0 ext2 76800"},
		{"plaso/image.vhd", "vhd", "0 ext2 76800"},
		{"plaso/tsk_volume_system.raw", "raw", "mbr; 1 none 0: it holds no file system that is known; it starts with zeroes; " +
			"2 none 0: it is the extended partition, which holds the logical ones; 5 ext2 1250304"},
		{"plaso/vsstest.qcow2", "qcow2", "0 ntfs 0: it holds shadow copies (restore points; there are 2), which read what NTFS itself calls free; " +
			"delete them in Windows, or accept their loss"},
		{"vmdk-rs/monolithicSparse.vmdk", "vmdk", "mbr; 1 ntfs 5324800"},
		{"vmdk-rs/streamOptimized.vmdk", "vmdk", "mbr; 1 ntfs 5324800"},
		{"gomod/gpt.img", "raw", "gpt; 1 none 0: it holds no file system that is known"},
		{"gomod/test.ntfs.dd", "raw", "0 ntfs 6327296"},
		{"gomod/image.xfs", "raw", "0 xfs 9527296"},
		{"discutils/swap.vhdx", "vhdx", "0 swap 0: swap space is left alone"},
		{"qemu/virtualpc-dynamic.vhd", "vhd", "0 none 0: it holds no file system that is known; it starts with zeroes"},
	} {
		path := unpack(t, filepath.Join(dir, c.path+".zst"))
		i, err := formats.Open(path, disk.OpenOptions{Format: c.format, ReadOnly: true})
		must(t, err)
		l, err := guest.Scan(t.Context(), i, i.Size(), 512)
		must(t, err)
		total := int64(0)
		must(t, l.Free(t.Context(), func(off, n int64) error { total += n; return nil }))
		if got := describe(l, total); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.path, got, c.want)
		}
		must(t, i.Close())
	}
}

// describe tells a layout in one line. Free is what its partitions must have yielded together.
func describe(l *guest.Layout, free int64) string {
	var words []string
	if l.Scheme != "" {
		words = append(words, l.Scheme)
	}
	for _, p := range l.Partitions {
		name := p.FileSystem
		if name == "" {
			name = "none"
		}
		w := fmt.Sprintf("%d %s %d", p.Number, name, p.Unused)
		if p.Reason != "" {
			w += ": " + p.Reason
		}
		words = append(words, w)
		free -= p.Unused
	}
	if words = append(words, l.Notes...); free != 0 {
		words = append(words, fmt.Sprintf("%d bytes of no partition", free))
	}
	return strings.Join(words, "; ")
}

func unpack(t *testing.T, packed string) string {
	t.Helper()
	in, err := os.Open(packed)
	must(t, err)
	defer in.Close()
	z, err := zstd.NewReader(in)
	must(t, err)
	defer z.Close()
	path := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(packed), ".zst"))
	out, err := os.Create(path)
	must(t, err)
	defer out.Close()
	_, err = io.Copy(out, z)
	must(t, err)
	return path
}
