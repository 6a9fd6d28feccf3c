package vmdk_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vmdk"
)

// TestCustom makes a disk of all kinds of extents, works on it, and has another program read it where that knows how to.
func TestCustom(t *testing.T) {
	dir := disktest.Dir(t)
	path, boot := filepath.Join(dir, "disk.vmdk"), filepath.Join(dir, "boot.img")
	if err := os.WriteFile(boot, bytes.Repeat([]byte("boot"), 2<<18), 0o600); err != nil { // 2 MiB
		t.Fatal(err)
	}
	err := vmdk.CreateCustom(path, disk.CreateOptions{BlockSize: 4096}, []vmdk.Extent{
		{Type: "flat", Sectors: 63, Name: "boot.img"},
		{Type: "SPARSE", Sectors: 4097},
		{Type: "ZERO", Sectors: 100},
		{Type: "FLAT", Sectors: 2048, Name: "boot.img", Offset: 2048, Access: vmdk.ReadOnly},
		{Type: "FLAT", Sectors: 1024, Name: "sub.vmdk", Offset: 10},
	})
	if err != nil {
		t.Fatal(err)
	}
	const (
		zero   = (63 + 4097) * 512
		second = zero + 100*512
		last   = second + 2048*512
		size   = last + 1024*512
	)
	i, err := vmdk.Open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if i.Size() != size || i.Info().Variant != "custom" {
		t.Fatalf("%+v", i.Info())
	}
	want := make([]byte, size)
	for _, r := range [][2]int{{0, 63 * 512}, {second, 2048 * 512}} {
		copy(want[r[0]:r[0]+r[1]], bytes.Repeat([]byte("boot"), r[1]/4))
	}
	check := func() {
		t.Helper()
		got := make([]byte, size)
		if _, err := i.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("does not read as it should (%v)", err)
		}
	}
	check()
	for _, off := range []int{60 * 512, zero - 5000, last + 100} { // across a border, to a ZERO extent's start, and the last
		p := bytes.Repeat([]byte("x"), 5000)
		copy(want[off:], p)
		if _, err := i.WriteAt(p, int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	for what, off := range map[string]int64{"ZERO": zero, "RDONLY": second} {
		if _, err := i.WriteAt([]byte("x"), off); err == nil {
			t.Errorf("wrote to a %s extent", what)
		}
	}
	check()
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if i, err = vmdk.Open(path, disk.OpenOptions{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	check()
	i.Close()
	if r, err := vmdk.Check(path, disk.OpenOptions{}); err != nil || len(r.Problems) > 0 {
		t.Errorf("check: %+v, %v", r, err)
	}
	// qemu does not know the type custom, and leaves ZERO extents out, so that what follows shifts. It reads other mixtures under another type.
	img := disktest.FindTool(t, "qemu-img", "qemu-utils")
	mixed := filepath.Join(dir, "mixed.vmdk")
	if err := vmdk.CreateCustom(mixed, disk.CreateOptions{}, []vmdk.Extent{
		{Type: "FLAT", Sectors: 2048, Name: "boot.img"}, {Type: "SPARSE", Sectors: 4096, Name: "mixed-data.vmdk"},
	}); err != nil {
		t.Fatal(err)
	}
	pattern(t, mixed, bytes.Repeat([]byte("y"), 100000), 1<<20-500)
	text, err := os.ReadFile(mixed)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`"custom"`), []byte(`"twoGbMaxExtentSparse"`), 1)
	renamed, raw := filepath.Join(dir, "renamed.vmdk"), filepath.Join(dir, "raw")
	if err := os.WriteFile(renamed, text, 0o600); err != nil {
		t.Fatal(err)
	}
	img.Run("convert", "-f", "vmdk", "-O", "raw", renamed, raw)
	theirs, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	reads(t, mixed, theirs, 0, disk.OpenOptions{})
}

// TestCustomRefused asks for impossible lists.
func TestCustomRefused(t *testing.T) {
	flat := vmdk.Extent{Type: "FLAT", Sectors: 8, Name: "a"}
	for name, c := range map[string]struct {
		o       disk.CreateOptions
		extents []vmdk.Extent
		reason  string
	}{
		"none":       {disk.CreateOptions{}, nil, "list"},
		"empty":      {disk.CreateOptions{}, []vmdk.Extent{{Type: "ZERO"}}, "0 sectors"},
		"kind":       {disk.CreateOptions{}, []vmdk.Extent{{Type: "ODD", Sectors: 1}}, "ODD"},
		"outside":    {disk.CreateOptions{}, []vmdk.Extent{{Type: "FLAT", Sectors: 8, Name: "../a"}}, "folder"},
		"itself":     {disk.CreateOptions{}, []vmdk.Extent{{Type: "FLAT", Sectors: 8, Name: "disk.vmdk"}}, "own"},
		"quote":      {disk.CreateOptions{}, []vmdk.Extent{{Type: "FLAT", Sectors: 8, Name: `a"b`}}, "hold"},
		"overlap":    {disk.CreateOptions{}, []vmdk.Extent{flat, {Type: "FLAT", Sectors: 8, Name: "a", Offset: 7}}, "in use"},
		"two kinds":  {disk.CreateOptions{}, []vmdk.Extent{flat, {Type: "SPARSE", Sectors: 8, Name: "a"}}, "in use"},
		"named zero": {disk.CreateOptions{}, []vmdk.Extent{{Type: "ZERO", Sectors: 8, Name: "a"}}, "no file"},
		"size":       {disk.CreateOptions{Size: 512}, []vmdk.Extent{flat}, "together"},
		"parent":     {disk.CreateOptions{Parent: "d/p.vmdk"}, []vmdk.Extent{flat}, "parent"},
		"short":      {disk.CreateOptions{}, []vmdk.Extent{{Type: "SPARSE", Sectors: 8}, {Type: "FLAT", Sectors: 9, Name: "there"}}, "need 4608"},
		"taken":      {disk.CreateOptions{}, []vmdk.Extent{{Type: "SPARSE", Sectors: 8, Name: "there"}}, "exist"},
	} {
		t.Run(name, func(t *testing.T) {
			files := disktest.NewRecorder()
			files.Put("d/there", make([]byte, 4096))
			c.o.Files = files
			if err := vmdk.CreateCustom(path, c.o, c.extents); err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v, want one with %q", err, c.reason)
			}
			if files.Get(path) != nil || files.Get("d/disk-s001.vmdk") != nil || files.Get("d/there") == nil {
				t.Error("files are left, or gone")
			}
		})
	}
}
