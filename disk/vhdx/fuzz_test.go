package vhdx_test

import (
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhdx"
)

// fuzzed spares the fuzzer what lies between the parts of a file: an input is a page of each, and what is behind the last one the blocks.
var fuzzed = []int{0, header1, header2, regions1, regions2, logAt, logAt + 4096, logAt + mib/2, metadataAt, itemsAt, tableAt, tableAt + 4096*8, blocksAt}

// packed is the reverse of unpacked.
func packed(img []byte) (p []byte) {
	for _, at := range fuzzed {
		p = append(p, img[at:at+4096]...)
	}
	return p
}

func unpacked(p []byte) []byte {
	img := make([]byte, 6*mib)
	for _, at := range fuzzed {
		n := copy(img[at:at+4096], p)
		p = p[n:]
	}
	return img
}

func FuzzImage(f *testing.F) {
	f.Add(packed(written(f)))
	f.Add(packed(killed(f)))
	zeroed := killed(f)
	zeroInstead(zeroed, blocksAt, mib)
	f.Add(packed(zeroed))
	f.Add(packed(orphan(f)))
	s := subjects()["dynamic"]
	f.Fuzz(func(t *testing.T, p []byte) {
		// A mutation hardly ever has the right checksums; with them mended it gets further.
		img := unpacked(p)
		disktest.Exercise(t, s, img)
		vhdx.Mend(img)
		disktest.Exercise(t, s, img)
	})
}

// orphan returns the file of a child.
func orphan(tb testing.TB) []byte {
	tb.Helper()
	files := disktest.NewRecorder()
	files.Put("d/parent.vhdx", written(tb))
	if err := vhdx.Create(path, disk.CreateOptions{Parent: "d/parent.vhdx", BlockSize: mib, Files: files}); err != nil {
		tb.Fatal(err)
	}
	i, err := vhdx.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := i.WriteAt(make([]byte, 700), 100); err != nil {
		tb.Fatal(err)
	}
	if err := i.Close(); err != nil {
		tb.Fatal(err)
	}
	return files.Get(path)
}

// FuzzChild changes a child whose parent is there, so that it opens.
func FuzzChild(f *testing.F) {
	parent := written(f)
	f.Add(packed(orphan(f)))
	s := subjects()["dynamic"]
	open := s.Open
	f.Fuzz(func(t *testing.T, p []byte) {
		img := unpacked(p)
		vhdx.Mend(img)
		s.Open = func(path string, o disk.OpenOptions) (disk.Image, error) {
			o.Files.(*disktest.Recorder).Put("d/parent.vhdx", parent)
			o.AllowStaleParent = true
			return open(path, o)
		}
		disktest.Exercise(t, s, img)
	})
}
