package formats_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
)

// vhdxSample unpacks the sample of that name.
func vhdxSample(t *testing.T, name string) (path string, s sample) {
	t.Helper()
	dir := samplesDir(t)
	for _, s := range samples(t, dir) {
		if s.path == name {
			return unpack(t, dir, s), s
		}
	}
	t.Fatalf("the manifest has no %s", name)
	return "", s
}

// TestVHDXDirtyLog reads an image whose log was not replayed: in memory when opened read-only, which leaves the file alone, and in
// the file when opened for writing, after which qemu finds nothing to complain of.
func TestVHDXDirtyLog(t *testing.T) {
	path, s := vhdxSample(t, "qemu/iotest-dirtylog-10G-4M.vhdx")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{true, false} {
		i, err := formats.Open(path, disk.OpenOptions{ReadOnly: readOnly})
		if err != nil {
			t.Fatal(err)
		}
		if i.Size() != 10<<30 || !i.Info().Unclean {
			t.Errorf("%+v", i.Info())
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(i, 0, 64<<20)); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != s.hash {
			t.Errorf("read-only %v: the first 64 MiB hash to %s, want %s", readOnly, got, s.hash)
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if readOnly != (sha256.Sum256(before) == sha256.Sum256(after)) {
			t.Errorf("read-only %v: whether the file changed is wrong", readOnly)
		}
	}
	disktest.FindTool(t, "qemu-img", "qemu-utils").Run("check", "-q", "-f", "vhdx", path)
}

// TestVHDXSwap compares a disk that Windows made, and that is too large for the manifest's hashes, with what qemu reads.
func TestVHDXSwap(t *testing.T) {
	path, _ := vhdxSample(t, "discutils/swap.vhdx")
	img := disktest.FindTool(t, "qemu-img", "qemu-utils")
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	raw := filepath.Join(disktest.Dir(t), "swap.raw")
	out, err := os.Create(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := out.Truncate(i.Size()); err != nil {
		t.Fatal(err)
	}
	data := int64(0)
	err = i.Extents(0, i.Size(), func(e disk.Extent) bool {
		if e.Kind != disk.Data {
			return true
		}
		data += e.Length
		if _, err := io.Copy(io.NewOffsetWriter(out, e.Offset), io.NewSectionReader(i, e.Offset, e.Length)); err != nil {
			t.Fatal(err)
		}
		return true
	})
	if err != nil || data == 0 {
		t.Fatalf("%d bytes of data: %v", data, err)
	}
	img.Run("compare", "-f", "vhdx", "-F", "raw", path, raw)
	r, err := formats.Check(path, disk.OpenOptions{})
	if err != nil || len(r.Problems) > 0 {
		t.Errorf("check: %+v, %v", r, err)
	}
}
