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

// FuzzMaintain has the operations on tables loose on a changed image, after which it must check no worse than before.
func FuzzMaintain(f *testing.F) {
	f.Add(packed(written(f)), int64(9*mib), uint8(3))
	f.Add(packed(killed(f)), int64(200<<30), uint8(0))
	f.Add(packed(orphan(f)), int64(mib), uint8(7))
	parent := written(f)
	f.Fuzz(func(t *testing.T, p []byte, size int64, way uint8) {
		img := unpacked(p)
		vhdx.Mend(img)
		files := disktest.NewRecorder()
		files.Put(path, img)
		files.Put("d/parent.vhdx", parent)
		worst := func() (s disk.Severity, ok bool) {
			r, err := vhdx.Check(path, disk.OpenOptions{Files: files})
			if err != nil {
				return disk.Damage, false
			}
			s, _ = r.Worst()
			return s, true
		}
		before, readable := worst()
		maintained(files, size, way)
		if after, ok := worst(); readable && before != disk.Damage && (!ok || after == disk.Damage) {
			t.Errorf("it was no worse than %v, and is now damaged (readable: %t)", before, ok)
		}
		if err := vhdx.Repair(path, disk.OpenOptions{Files: files}); err != nil && readable && before != disk.Damage {
			t.Errorf("repair: %v", err)
		}
		if after, ok := worst(); readable && before != disk.Damage && (!ok || after != disk.Leak) {
			t.Errorf("it was no worse than %v, and after a repair %v (readable: %t)", before, after, ok)
		}
	})
}

// maintained does to an image what way says. Errors are fine.
func maintained(files disk.Files, size int64, way uint8) {
	i, err := vhdx.Open(path, disk.OpenOptions{Files: files, AllowStaleParent: true, Alone: way&1 != 0})
	if err != nil {
		return
	}
	defer i.Close()
	if way&2 != 0 {
		i.Resize(size)
	}
	if arenas, err := i.Arenas(); err == nil && way&4 != 0 {
		a := arenas[0]
		for block := range min(a.Blocks(), 8) {
			a.Move(block, a.Slots()-block)
			a.Drop(block + a.Blocks()/2)
		}
		a.Flush()
		a.Trim()
	}
	if way&8 != 0 {
		i.Resize(size / 2)
	}
	if way&16 != 0 {
		i.Relink([]string{"", "d/parent.vhdx"}[way>>5&1], "")
	}
}
