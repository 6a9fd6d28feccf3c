package vhd_test

import (
	"bytes"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhd"
)

const path = "d/disk.vhd"

// written returns the file of a 64 KiB disk in blocks of 16 KiB, of which the second and third are stored.
func written(tb testing.TB, variant string) []byte {
	tb.Helper()
	return disktest.Written(tb, vhd.Create, vhd.Open, path, disk.CreateOptions{Size: 64 << 10, BlockSize: 16 << 10, Variant: variant},
		disktest.Write{Off: 16 << 10, Data: bytes.Repeat([]byte{0x5a}, 32<<10)})
}

func FuzzImage(f *testing.F) {
	f.Add(written(f, "dynamic"))
	f.Add(written(f, "fixed"))
	s := subjects()["dynamic"]
	f.Fuzz(func(t *testing.T, content []byte) {
		// A mutation hardly ever has the right checksums; with them mended it gets further.
		disktest.Exercise(t, s, content)
		vhd.Mend(content)
		disktest.Exercise(t, s, content)
	})
}

// FuzzChild changes a child whose parent is there, so that it opens.
func FuzzChild(f *testing.F) {
	parent := written(f, "dynamic")
	files := disktest.NewRecorder()
	files.Put("d/parent.vhd", parent)
	if err := vhd.Create(path, disk.CreateOptions{Parent: "d/parent.vhd", BlockSize: 16 << 10, Files: files}); err != nil {
		f.Fatal(err)
	}
	i, err := vhd.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := i.WriteAt(make([]byte, 700), 100); err != nil {
		f.Fatal(err)
	}
	if err := i.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(files.Get(path))
	s := subjects()["dynamic"]
	open := s.Open
	f.Fuzz(func(t *testing.T, content []byte) {
		vhd.Mend(content)
		s.Open = func(path string, o disk.OpenOptions) (disk.Image, error) {
			o.Files.(*disktest.Recorder).Put("d/parent.vhd", parent)
			o.AllowStaleParent = true
			return open(path, o)
		}
		disktest.Exercise(t, s, content)
	})
}

// FuzzMaintain is the suite Maintain on images of unknown content.
func FuzzMaintain(f *testing.F) {
	dynamic := written(f, "dynamic")
	f.Add(dynamic, int64(200<<10), true)
	f.Add(dynamic, int64(20<<10), false)
	f.Add(dynamic[:len(dynamic)-512], int64(0), true)
	f.Add(written(f, "fixed"), int64(100<<10), true)
	s := subjects()["dynamic"]
	s.Repair = vhd.Repair
	f.Fuzz(func(t *testing.T, content []byte, size int64, mend bool) {
		if mend {
			vhd.Mend(content)
		}
		disktest.Maintain(t, s, content, size, 1<<20)
	})
}
