package formats_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

func TestFind(t *testing.T) {
	for _, c := range []struct{ path, name, want string }{
		{"a.vmdk", "", "vmdk"}, {"A.VHD", "", "vhd"}, {"x.iso", "", "raw"}, {"x.img", "", "raw"},
		{"x.vmdk", "raw", "raw"}, {"x", "vhd", "vhd"}, {"x", "", ""}, {"x.qcow2", "", "qcow2"}, {"x.vdi", "", "vdi"}, {"x.qcow", "", ""}, {"x.vmdk", "zip", ""},
	} {
		f, err := formats.Find(c.path, c.name)
		if f.Name != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, disk.ErrUnsupported) {
			t.Errorf("Find(%q, %q) = %q, %v; want %q", c.path, c.name, f.Name, err, c.want)
		}
	}
}

// TestNoProbing writes another format's header into a raw disk, as a guest can: it stays a raw disk.
func TestNoProbing(t *testing.T) {
	dir := t.TempDir()
	inner := filepath.Join(dir, "inner.vmdk")
	if err := formats.Create(inner, disk.CreateOptions{Size: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(inner)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "disk.img")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	i, err := formats.Open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if i.Info().Format != "raw" || i.Size() != int64(len(content)) {
		t.Errorf("opened as %s of %d bytes", i.Info().Format, i.Size())
	}
}

// TestEveryFormat creates, opens and checks each format and variant.
func TestEveryFormat(t *testing.T) {
	for _, f := range formats.All() {
		for _, v := range append(f.Variants, "") {
			path := filepath.Join(t.TempDir(), "disk"+f.Extensions[0])
			if err := formats.Create(path, disk.CreateOptions{Size: 3 << 20, Variant: v}); err != nil {
				t.Errorf("%s %s: %v", f.Name, v, err)
				continue
			}
			i, err := formats.Open(path, disk.OpenOptions{})
			if err != nil {
				t.Errorf("%s %s: %v", f.Name, v, err)
				continue
			}
			if i.Size() != 3<<20 || i.Info().Format != f.Name {
				t.Errorf("%s %s: %+v", f.Name, v, i.Info())
			}
			i.Close()
			if r, err := formats.Check(path, disk.OpenOptions{}); err != nil || len(r.Problems) > 0 {
				t.Errorf("%s %s: check: %+v, %v", f.Name, v, r, err)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "cd.iso")
	if err := os.WriteFile(path, make([]byte, 2048), 0o600); err != nil {
		t.Fatal(err)
	}
	i, err := formats.Open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if !i.Info().ReadOnly {
		t.Error("a CD-ROM image was opened for writing")
	}
}
