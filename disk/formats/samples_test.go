package formats_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
)

// samplesDir is where images made by the vendors' own programs lie, beside the repository; VMM_SAMPLES names another place.
func samplesDir(t testing.TB) string {
	dir := os.Getenv("VMM_SAMPLES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "samples")
	}
	if _, err := os.Stat(filepath.Join(dir, "MANIFEST.tsv")); err != nil {
		t.Skipf("no sample images: %v (VMM_SAMPLES names their folder)", err)
	}
	return dir
}

// sample is a line of the manifest.
type sample struct {
	path, format, note string
	size               int64  // of the disk, or 0 where the reference program could not open it
	hash               string // SHA-256 of the disk's contents, or empty
}

func samples(t testing.TB, dir string) (out []sample) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "MANIFEST.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma = '\t'
	r.LazyQuotes = true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		size, _ := strconv.ParseInt(row[3], 10, 64)
		out = append(out, sample{path: row[0], format: row[1], size: size, hash: row[4], note: row[8]})
	}
	return out
}

// unpack decompresses a sample into a folder of its own and returns its path there.
func unpack(t testing.TB, dir string, s sample) string {
	t.Helper()
	in, err := os.Open(filepath.Join(dir, s.path+".zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := zstd.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	path := filepath.Join(disktest.Dir(t), filepath.Base(s.path))
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, z); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSamples opens each image with the manifest's hash, and refuses what is damaged or not implemented with one line that names it.
func TestSamples(t *testing.T) {
	dir := samplesDir(t)
	opened := 0
	for _, s := range samples(t, dir) {
		name, _, _ := strings.Cut(s.format, ":")
		format := map[string]string{"raw": "raw", "vmdk": "vmdk", "vpc": "vhd", "qcow2": "qcow2"}[name]
		if format == "" {
			continue // a format that vmm does not know yet
		}
		refused := s.size == 0
		t.Run(s.path, func(t *testing.T) {
			path := unpack(t, dir, s)
			i, err := formats.Open(path, disk.OpenOptions{Format: format, ReadOnly: true})
			if refused {
				if err == nil {
					i.Close()
					t.Fatalf("opened, though: %s", s.note)
				}
				if msg := err.Error(); !strings.Contains(msg, path) || strings.Contains(msg, "\n") ||
					!errors.Is(err, disk.ErrCorrupt) && !errors.Is(err, disk.ErrUnsupported) {
					t.Fatalf("not one clear line: %v", err)
				}
				t.Log(err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			opened++
			if i.Size() != s.size {
				t.Errorf("size %d, want %d", i.Size(), s.size)
			}
			if got := hash(t, i); s.hash != "" && got != s.hash {
				t.Errorf("contents hash to %s, want %s", got, s.hash)
			}
			if r, err := formats.Check(path, disk.OpenOptions{Format: format}); err != nil {
				t.Error(err)
			} else if worst, any := r.Worst(); any && worst != disk.Leak {
				t.Errorf("check: %+v", r.Problems)
			}
		})
	}
	if opened < 19 {
		t.Errorf("only %d samples opened; the manifest has 19 that must", opened)
	}
}

// TestLargeSample compares a stream of 16 GiB, too large to be hashed, with what qemu makes of it.
func TestLargeSample(t *testing.T) {
	dir, img := samplesDir(t), disktest.FindTool(t, "qemu-img", "qemu-utils")
	path := unpack(t, dir, sample{path: "qemu/iotest-version3.vmdk"})
	raw := filepath.Join(filepath.Dir(path), "qemu.raw")
	img.Run("convert", "-f", "vmdk", "-O", "raw", path, raw)
	ours, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs, err := formats.Open(raw, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if ours.Size() != theirs.Size() {
		t.Fatalf("size %d, qemu sees %d", ours.Size(), theirs.Size())
	}
	compared := int64(0)
	for _, by := range []disk.Image{ours, theirs} {
		if err := by.Extents(0, by.Size(), func(e disk.Extent) bool {
			if e.Kind != disk.Data {
				return true
			}
			a, b := make([]byte, e.Length), make([]byte, e.Length)
			_, err1 := ours.ReadAt(a, e.Offset)
			_, err2 := theirs.ReadAt(b, e.Offset)
			if err := errors.Join(err1, err2); err != nil || !bytes.Equal(a, b) {
				t.Errorf("bytes %d to %d differ (%v)", e.Offset, e.Offset+e.Length, err)
			}
			compared += e.Length
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
	if compared < 8<<20 {
		t.Errorf("only %d bytes of data were compared", compared)
	}
}

// hash reads the disk by its extents, holes as zeroes; disks too large for that by their stored parts.
func hash(t *testing.T, i disk.Image) string {
	t.Helper()
	if i.Size() > 3<<30 {
		return ""
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(i, 0, i.Size())); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// TestSamplesTruncated cuts every sample short at many places: each cut is refused, or opens and reads with or without an error;
// nothing crashes.
func TestSamplesTruncated(t *testing.T) {
	dir := samplesDir(t)
	for _, s := range samples(t, dir) {
		format, _, _ := strings.Cut(s.format, ":")
		if format = map[string]string{"vmdk": "vmdk", "vpc": "vhd", "vhdx": "vhdx", "qcow2": "qcow2"}[format]; format == "" {
			continue
		}
		path := unpack(t, dir, s)
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		step := max(st.Size()/40, 1)
		for size := st.Size() - 1; size >= 0; size -= step {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			i, err := formats.Open(path, disk.OpenOptions{Format: format, ReadOnly: true})
			if err != nil {
				continue
			}
			io.Copy(io.Discard, io.NewSectionReader(i, 0, min(i.Size(), 32<<20)))
			i.Close()
		}
	}
}
