package vmdk_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vmdk"
)

func TestResize(t *testing.T) {
	for name, s := range subjects() {
		if name != "small grains" { // late tables have them too
			t.Run(name, func(t *testing.T) { disktest.Resize(t, s) })
		}
	}
}

// resized opens a disk, resizes and closes it.
func resized(t *testing.T, path string, size int64) {
	t.Helper()
	i, err := vmdk.Open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Resize(size); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestQemuResize has qemu read what was resized, and us resize what qemu made.
func TestQemuResize(t *testing.T) {
	img := disktest.FindTool(t, "qemu-img", "qemu-utils")
	for _, variant := range []string{"monolithicSparse", "twoGbMaxExtentSparse", "monolithicFlat", "twoGbMaxExtentFlat", "streamOptimized"} {
		for _, maker := range []string{"ours", "qemu"} {
			t.Run(variant+" of "+maker, func(t *testing.T) {
				dir := disktest.Dir(t)
				path, raw := filepath.Join(dir, "disk.vmdk"), filepath.Join(dir, "disk.raw")
				if maker == "qemu" {
					img.Run("create", "-q", "-f", "vmdk", "-o", "subformat="+variant, path, "10M")
				} else if err := vmdk.Create(path, disk.CreateOptions{Size: 10 << 20, Variant: variant}); err != nil {
					t.Fatal(err)
				}
				below, above := bytes.Repeat([]byte("below"), 30000), bytes.Repeat([]byte("above"), 30000)
				pattern(t, path, below, 9<<20)
				want, err := os.Create(raw)
				if err != nil {
					t.Fatal(err)
				}
				defer want.Close()
				for _, step := range []struct{ size, at int64 }{{5<<30 + 512, 4 << 30}, {40<<20 + 1024, 39 << 20}} {
					resized(t, path, step.size)
					pattern(t, path, above, step.at)
					want.WriteAt(below, 9<<20)
					want.WriteAt(above, step.at)
					if err := want.Truncate(step.size); err != nil {
						t.Fatal(err)
					}
					img.Run("compare", "-q", "-f", "vmdk", "-F", "raw", path, raw)
					if strings.HasSuffix(variant, "Sparse") {
						img.Run("check", "-q", "-f", "vmdk", path)
					}
				}
			})
		}
	}
}

// TestResizedDescriptor looks at what a descriptor says after its disk was resized, and at the files.
func TestResizedDescriptor(t *testing.T) {
	dir := disktest.Dir(t)
	path := filepath.Join(dir, "my disk.vmdk")
	if err := vmdk.Create(path, disk.CreateOptions{Size: 3 << 30, Variant: "twoGbMaxExtentSparse"}); err != nil {
		t.Fatal(err)
	}
	lines := func() (out []string) {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(l, "RW") || strings.HasPrefix(l, "ddb.geometry.cyl") {
				out = append(out, l)
			}
		}
		return out
	}
	resized(t, path, 5<<30)
	if got, want := strings.Join(lines(), "\n"), "RW 4192256 SPARSE \"my disk-s001.vmdk\"\nRW 4192256 SPARSE \"my disk-s002.vmdk\"\n"+
		"RW 2101248 SPARSE \"my disk-s003.vmdk\"\nddb.geometry.cylinders = \"652\""; got != want {
		t.Errorf("grown:\n%s\nwant\n%s", got, want)
	}
	// A file of the next name is not ours to write over.
	taken := filepath.Join(dir, "my disk-s004.vmdk")
	if err := os.WriteFile(taken, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	resized(t, path, 8<<30)
	if got, want := strings.Join(lines()[3:], "\n"), "RW 4192256 SPARSE \"my disk-s005.vmdk\"\nRW 8192 SPARSE \"my disk-s006.vmdk\"\nddb.geometry.cylinders = \"1044\""; got != want {
		t.Errorf("grown again:\n%s\nwant\n%s", got, want)
	}
	resized(t, path, 1<<30)
	if got, want := strings.Join(lines(), "\n"), "RW 2097152 SPARSE \"my disk-s001.vmdk\"\nddb.geometry.cylinders = \"130\""; got != want {
		t.Errorf("shrunk:\n%s\nwant\n%s", got, want)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 { // descriptor, the first piece, and what is not ours
		t.Errorf("files left: %v", files)
	}
}

// TestResizeRefused has disks that cannot grow.
func TestResizeRefused(t *testing.T) {
	for name, c := range map[string]struct {
		extents string
		files   map[string]int
	}{
		"part of a file": {"RW 64 FLAT \"a-flat.vmdk\" 0\n", map[string]int{"a-flat.vmdk": 128 * 512}},
		"two in a file":  {"RW 64 FLAT \"a-flat.vmdk\" 64\nRW 64 FLAT \"a-flat.vmdk\" 0\n", map[string]int{"a-flat.vmdk": 128 * 512}},
		"read-only":      {"RDONLY 64 FLAT \"a-flat.vmdk\" 0\n", map[string]int{"a-flat.vmdk": 64 * 512}},
	} {
		t.Run(name, func(t *testing.T) {
			files := disktest.NewRecorder()
			files.Put("d/disk.vmdk", []byte("# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"custom\"\n"+c.extents))
			for name, size := range c.files {
				files.Put("d/"+name, bytes.Repeat([]byte{7}, size))
			}
			files.Settle()
			i, err := vmdk.Open("d/disk.vmdk", disk.OpenOptions{Files: files})
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			if err := i.Resize(1 << 20); !errors.Is(err, disk.ErrUnsupported) || files.Events() > 0 {
				t.Errorf("%v, after %d changes", err, files.Events())
			}
		})
	}
}
