package vmdk_test

import (
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vmdk"
)

// seeds are small images that have something of everything.
func seeds(tb testing.TB) (out [][]byte) {
	for _, s := range subjects() {
		if s.Options.Variant != "" && s.Options.Variant != "streamOptimized" {
			continue
		}
		files := disktest.NewRecorder()
		o := s.Options
		o.Size, o.Files, o.BlockSize = 100<<10, files, 4096
		if err := s.Create("d/disk.vmdk", o); err != nil {
			tb.Fatal(err)
		}
		out = append(out, files.Get("d/disk.vmdk"))
		i, err := s.Open("d/disk.vmdk", disk.OpenOptions{Files: files})
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := i.WriteAt([]byte("something"), 50000); err != nil {
			tb.Fatal(err)
		}
		if err := i.Close(); err != nil {
			tb.Fatal(err)
		}
		out = append(out, files.Get("d/disk.vmdk"))
	}
	return out
}

func FuzzImage(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	s := subjects()["monolithicSparse"]
	f.Fuzz(func(t *testing.T, content []byte) { disktest.Exercise(t, s, content) })
}

func FuzzDescriptor(f *testing.F) {
	for _, d := range []string{plainDescriptor, oddDescriptor} {
		f.Add([]byte(d))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := vmdk.ParseDescriptor(text)
		if err != nil {
			return
		}
		total := int64(0)
		for _, e := range d.Extents {
			if e.Sectors < 0 || e.Offset < 0 {
				t.Fatalf("negative extent %+v", e)
			}
			total += e.Sectors
		}
		if total < 0 || total > 1<<53 {
			t.Fatalf("%d sectors", total)
		}
		files := disktest.NewRecorder()
		files.Put("d/disk.vmdk", text)
		files.Put("d/disk-flat.vmdk", make([]byte, 64<<10))
		if i, err := vmdk.Open("d/disk.vmdk", disk.OpenOptions{Files: files}); err == nil {
			i.WriteAt([]byte{1}, 0)
			i.Close()
		}
	})
}
