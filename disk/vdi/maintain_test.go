package vdi_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vdi"
)

func TestResize(t *testing.T) {
	all := subjects()
	// The map of a larger disk does not fit in front of the data.
	tiny := all["dynamic"]
	tiny.Options.BlockSize = 4 << 10
	tiny.Large = 5 << 30
	all["tiny blocks"] = tiny
	for name, s := range all {
		t.Run(name, func(t *testing.T) { disktest.Resize(t, s) })
	}
}

func TestArrange(t *testing.T) {
	for name, s := range subjects() {
		if name == "dynamic" {
			s.Options.BlockSize = 256 << 10 // a crash takes as long as a block is large
		}
		if name != "fixed" {
			t.Run(name, func(t *testing.T) { disktest.Arrange(t, s) })
		}
	}
}

// TestFullMap grows disks of which every block is stored, so that no slot is free for what has to make room for the map.
func TestFullMap(t *testing.T) {
	const size = 2 << 20
	for _, variant := range []string{"dynamic", "fixed"} {
		files := disktest.NewRecorder()
		if err := vdi.Create(path, disk.CreateOptions{Size: size, BlockSize: 4 << 10, Variant: variant, Files: files}); err != nil {
			t.Fatal(err)
		}
		i, err := vdi.Open(path, disk.OpenOptions{Files: files})
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, size)
		for k := range want {
			want[k] = byte(k>>12) | 1
		}
		if _, err := i.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		// The first of these maps ends where the data starts, the next ones lead into it: by one slot, and by more slots than there are blocks.
		full := int64(blockAt-mapAt) / 4 * 4096
		for _, grown := range []int64{full, full + 512, 3 * full} {
			if err := i.Resize(grown); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, size+100)
			if _, err := i.ReadAt(got, 0); err != nil || !bytes.Equal(got[:size], want) || !bytes.Equal(got[size:], make([]byte, 100)) {
				t.Fatalf("%s: does not read as before the growth to %d (%v)", variant, grown, err)
			}
			if err := i.Close(); err != nil {
				t.Fatal(err)
			}
			if r, err := vdi.Check(path, disk.OpenOptions{Files: files}); err != nil || len(r.Problems) > 0 {
				t.Fatalf("%s: check: %+v, %v", variant, r, err)
			}
			if i, err = vdi.Open(path, disk.OpenOptions{Files: files}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestFixedRefused(t *testing.T) {
	files := disktest.NewRecorder()
	files.Put(path, written(t, "fixed"))
	i, err := vdi.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Arenas(); !errors.Is(err, disk.ErrUnsupported) {
		t.Errorf("arenas: %v, want ErrUnsupported", err)
	}
}

// TestMoveTaken moves a block onto another, and into the slot that one has just left.
func TestMoveTaken(t *testing.T) {
	files := disktest.NewRecorder()
	files.Put(path, written(t, "dynamic"))
	i, err := vdi.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	arenas, err := i.Arenas()
	if err != nil {
		t.Fatal(err)
	}
	a := arenas[0]
	if err := a.Move(1, a.Slot(2)); err == nil {
		t.Error("moved onto another block")
	}
	left := a.Slot(2)
	if err := a.Move(2, a.Slots()); err != nil {
		t.Fatal(err)
	}
	if err := a.Move(1, left); err == nil {
		t.Error("moved to where the file's map still sees another block")
	}
	if err := a.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := a.Move(1, left); err != nil {
		t.Error(err)
	}
	if err := a.Move(1, 1<<31); !errors.Is(err, disk.ErrFull) {
		t.Errorf("moved beyond all slots: %v, want ErrFull", err)
	}
}

// TestKeepIdentity expects the modification UUID to change with the content and the capacity, unless it is not to.
func TestKeepIdentity(t *testing.T) {
	for _, keep := range []bool{true, false} {
		files := disktest.NewRecorder()
		files.Put(path, written(t, "dynamic"))
		id := func() string { return string(files.Get(path)[vdi.ModifyAt : vdi.ModifyAt+16]) }
		i, err := vdi.Open(path, disk.OpenOptions{Files: files, KeepIdentity: keep})
		if err != nil {
			t.Fatal(err)
		}
		last := id()
		_, err = i.WriteAt([]byte{1}, 0)
		if err != nil || id() == last != keep {
			t.Errorf("keep %t, write: the UUID stayed %t (%v)", keep, id() == last, err)
		}
		last = id()
		if err := i.Resize(1 << 20); err != nil || id() == last != keep {
			t.Errorf("keep %t, resize: the UUID stayed %t (%v)", keep, id() == last, err)
		}
	}
}

// TestAlone writes to a disk that was opened alone, as tools may do with any.
func TestAlone(t *testing.T) {
	files := disktest.NewRecorder()
	files.Put(path, written(t, "dynamic"))
	i, err := vdi.Open(path, disk.OpenOptions{Files: files, Alone: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.WriteAt([]byte{1}, 0); !errors.Is(err, disk.ErrReadOnly) {
		t.Errorf("write: %v, want ErrReadOnly", err)
	}
}
