package vmdk_test

import (
	"bytes"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vmdk"
)

// FuzzMaintain repairs, resizes, arranges and relinks an image of unknown content. What succeeds must hold: the size, and the start of the disk.
func FuzzMaintain(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed, uint16(300))
		f.Add(seed, uint16(3))
	}
	f.Fuzz(func(t *testing.T, content []byte, sectors uint16) {
		files := disktest.NewRecorder()
		files.Put(path, content)
		vmdk.Repair(path, disk.OpenOptions{Files: files})
		r, err := vmdk.Check(path, disk.OpenOptions{Files: files})
		if err != nil {
			return
		}
		if worst, _ := r.Worst(); worst == disk.Damage {
			return // grains that share a place cannot both keep what they hold
		}
		i, err := vmdk.Open(path, disk.OpenOptions{Files: files})
		if err != nil {
			return
		}
		defer i.Close()
		size := int64(sectors) * 512
		before := make([]byte, min(i.Size(), size, 64<<10))
		if _, err := i.ReadAt(before, 0); err != nil {
			return
		}
		if arenas, err := i.Arenas(); err == nil && len(arenas) > 0 {
			a := arenas[0]
			for b := range min(a.Blocks(), 20) {
				if a.Slot(b) >= 0 && a.Move(b, a.Slots()) != nil {
					return
				}
			}
			if a.Flush() != nil || a.Trim() != nil {
				return
			}
		}
		if i.Resize(size) != nil || i.Relink("", "") != nil || i.Close() != nil {
			return
		}
		again, err := vmdk.Open(path, disk.OpenOptions{ReadOnly: true, Files: files})
		if err != nil {
			t.Fatalf("after a change of size: %v", err)
		}
		defer again.Close()
		got := make([]byte, len(before))
		if _, err := again.ReadAt(got, 0); err != nil || again.Size() != size || !bytes.Equal(got, before) {
			t.Fatalf("%d bytes, want %d; changed: %t (%v)", again.Size(), size, !bytes.Equal(got, before), err)
		}
	})
}
