package disktest

import (
	"testing"

	"github.com/sharevm/vmm/disk"
)

// Exercise does to an image of unknown content what a machine and the tools would, from memory. Whatever the content, nothing may
// panic, hang or take much memory; errors are fine. An image that opened must keep what is written to it.
func Exercise(t *testing.T, s Subject, content []byte) {
	files := NewRecorder()
	path := "d/" + s.File
	files.Put(path, content)
	if s.Check != nil {
		s.Check(path, disk.OpenOptions{ReadOnly: true, Files: files})
	}
	i, err := s.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		return
	}
	size := i.Size()
	if size < 0 {
		t.Fatalf("size %d", size)
	}
	left := 10000 // extents; a hostile file can have as many as it has table entries
	i.Extents(0, size, func(e disk.Extent) bool {
		if e.Length <= 0 || e.Offset < 0 || e.Offset+e.Length > size {
			t.Fatalf("extent %+v of a disk of %d bytes", e, size)
		}
		left--
		return left > 0
	})
	buf := make([]byte, 9000)
	for _, off := range []int64{0, size/2 - 4000, size - 9000} {
		n := min(size, int64(len(buf)))
		off = max(0, min(off, size-n))
		i.ReadAt(buf[:n], off)
		for k := range buf {
			buf[k] = byte(k) | 1
		}
		if _, err := i.WriteAt(buf[:n], off); err != nil {
			continue
		}
		got := make([]byte, n)
		if _, err := i.ReadAt(got, off); err != nil {
			t.Fatalf("read back %d bytes at %d: %v", n, off, err)
		}
		i.WriteZeroes(off, n/2, true)
		i.Discard(off, n/3)
	}
	i.Flush()
	i.Close()
	if again, err := s.Open(path, disk.OpenOptions{ReadOnly: true, Files: files}); err == nil {
		again.Close()
	}
}

// Maintain repairs, arranges, resizes and relinks an image of unknown content, from memory. Where Check found nothing wrong before, it finds nothing wrong
// afterwards. Sizes up to limit are tried.
func Maintain(t *testing.T, s Subject, content []byte, size, limit int64) {
	files := NewRecorder()
	path := "d/" + s.File
	files.Put(path, content)
	o := disk.OpenOptions{Files: files, Alone: true}
	before, err := s.Check(path, o)
	if err != nil {
		return
	}
	sound := len(before.Problems) == 0
	if err := s.Repair(path, o); err != nil && sound {
		t.Fatal(err)
	}
	i, err := s.Open(path, o)
	if err != nil {
		return
	}
	if arrangeable, ok := i.(disk.Arrangeable); ok {
		if arenas, err := arrangeable.Arenas(); err == nil {
			moveOne(arenas[0])
		}
	}
	if r, ok := i.(disk.Resizer); ok {
		r.Resize(size % limit &^ 511)
	}
	if r, ok := i.(disk.Relinker); ok {
		r.Relink("", "")
	}
	if err := i.Close(); err != nil && sound {
		t.Fatal(err)
	}
	if after, err := s.Check(path, o); sound && (err != nil || len(after.Problems) > 0) {
		t.Fatalf("it was sound before: %+v, %v", after, err)
	}
}

// moveOne moves the first block that is stored to the end of the file.
func moveOne(a disk.Arena) {
	for b := range min(a.Blocks(), 100) {
		if a.Slot(b) >= 0 {
			a.Move(b, a.Slots())
			break
		}
	}
	a.Flush()
	a.Trim()
}
