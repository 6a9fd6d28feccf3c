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
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/vmdk"
)

func TestChain(t *testing.T) {
	for name, s := range subjects() {
		if s.Parents {
			t.Run(name, func(t *testing.T) { disktest.Chain(t, s) })
		}
	}
}

// pattern writes p's content to a disk.
func pattern(t *testing.T, path string, p []byte, off int64) {
	t.Helper()
	disktest.Change(t, formats.Open, path, p, off)
}

// reads expects p at off of a disk.
func reads(t *testing.T, path string, p []byte, off int64, o disk.OpenOptions) {
	t.Helper()
	o.ReadOnly = true
	i, err := formats.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	got := make([]byte, len(p))
	if _, err := i.ReadAt(got, off); err != nil || !bytes.Equal(got, p) {
		t.Errorf("%s: %d bytes at %d are not as written (%v)", path, len(p), off, err)
	}
}

// TestStaleParent writes to a parent behind its child's back.
func TestStaleParent(t *testing.T) {
	dir := disktest.Dir(t)
	parent, child := filepath.Join(dir, "disk.vmdk"), filepath.Join(dir, "disk-000001.vmdk")
	for _, o := range []struct{ path, parent string }{{parent, ""}, {child, parent}} {
		if err := vmdk.Create(o.path, disk.CreateOptions{Size: 1 << 20, Parent: o.parent}); err != nil {
			t.Fatal(err)
		}
	}
	pattern(t, child, []byte("child"), 100)
	reads(t, child, []byte("child"), 100, disk.OpenOptions{})
	pattern(t, parent, []byte("parent"), 200<<10)
	_, err := vmdk.Open(child, disk.OpenOptions{})
	if !errors.Is(err, disk.ErrStaleParent) || !strings.Contains(err.Error(), child) || !strings.Contains(err.Error(), parent) || strings.Contains(err.Error(), "\n") {
		t.Errorf("stale parent: %v", err)
	}
	i, err := vmdk.Open(child, disk.OpenOptions{ReadOnly: true, AllowStaleParent: true})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if w := i.Info().Warnings; len(w) != 1 || !strings.Contains(w[0], "has changed") {
		t.Errorf("nothing is said about the stale parent: %q", w)
	}
}

// TestMovedFolder opens a chain whose hint leads to a place that it was moved from.
func TestMovedFolder(t *testing.T) {
	for _, hint := range []string{"/vmfs/volumes/x/m/parent.vmdk", `C:\VMs\m\parent.vmdk`, "../m/parent.vmdk"} {
		dir := disktest.Dir(t)
		parent, child := filepath.Join(dir, "parent.vmdk"), filepath.Join(dir, "child.vmdk")
		if err := vmdk.Create(parent, disk.CreateOptions{Size: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		pattern(t, parent, []byte("below"), 5000)
		if err := vmdk.Create(child, disk.CreateOptions{Parent: parent, Variant: "twoGbMaxExtentSparse"}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(child)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.Replace(text, []byte(`="parent.vmdk"`), []byte(`="`+hint+`"`), 1)
		if err := os.WriteFile(child, text, 0o600); err != nil {
			t.Fatal(err)
		}
		reads(t, child, []byte("below"), 5000, disk.OpenOptions{})
	}
}

// TestMixedChain puts a VMDK above images of other formats.
func TestMixedChain(t *testing.T) {
	for _, name := range []string{"base.raw", "base.vhd"} {
		dir := disktest.Dir(t)
		parent, child := filepath.Join(dir, name), filepath.Join(dir, "child.vmdk")
		if err := formats.Create(parent, disk.CreateOptions{Size: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		pattern(t, parent, []byte("below"), 5000)
		if err := formats.Create(child, disk.CreateOptions{Parent: parent}); err != nil {
			t.Fatal(err)
		}
		pattern(t, child, []byte("above"), 300)
		reads(t, child, []byte("above"), 300, disk.OpenOptions{})
		reads(t, child, []byte("below"), 5000, disk.OpenOptions{})
	}
}

// TestQemuChain has qemu read a chain of ours and write to it, and us one of qemu's.
func TestQemuChain(t *testing.T) {
	img, qio := disktest.FindTool(t, "qemu-img", "qemu-utils"), disktest.FindTool(t, "qemu-io", "qemu-utils")
	dir := disktest.Dir(t)
	parent := filepath.Join(dir, "disk.vmdk")
	if err := vmdk.Create(parent, disk.CreateOptions{Size: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	pattern(t, parent, bytes.Repeat([]byte{0x11}, 200000), 1000)
	ours, theirs := filepath.Join(dir, "ours.vmdk"), filepath.Join(dir, "theirs.vmdk")
	if err := vmdk.Create(ours, disk.CreateOptions{Parent: parent}); err != nil {
		t.Fatal(err)
	}
	img.Run("create", "-q", "-f", "vmdk", "-b", "disk.vmdk", "-F", "vmdk", theirs)
	for n, child := range []string{ours, theirs} {
		pattern(t, child, bytes.Repeat([]byte{0x22}, 3000), 70000)
		qio.Run("-f", "vmdk", "-c", "write -P 0x33 131072 512", child)
		want := make([]byte, 300000)
		copy(want[1000:], bytes.Repeat([]byte{0x11}, 200000))
		copy(want[70000:], bytes.Repeat([]byte{0x22}, 3000))
		copy(want[131072:], bytes.Repeat([]byte{0x33}, 512))
		reads(t, child, want, 0, disk.OpenOptions{})
		raw := filepath.Join(dir, "want.raw")
		if err := os.WriteFile(raw, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(raw, 4<<20); err != nil {
			t.Fatal(err)
		}
		img.Run("compare", "-f", "vmdk", "-F", "raw", child, raw)
		img.Run("check", "-q", "-f", "vmdk", child)
		if n == 0 { // the grandchild of qemu's
			top := filepath.Join(dir, "top.vmdk")
			img.Run("create", "-q", "-f", "vmdk", "-b", "ours.vmdk", "-F", "vmdk", top)
			reads(t, top, want, 0, disk.OpenOptions{})
		}
	}
}

func TestRelink(t *testing.T) {
	for name, s := range subjects() {
		if s.Parents {
			t.Run(name, func(t *testing.T) { disktest.Relink(t, s) })
		}
	}
}
