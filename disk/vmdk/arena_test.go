package vmdk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vmdk"
)

func TestArrange(t *testing.T) {
	for name, s := range subjects() {
		if name == "small grains" || name == "late tables" || name == "twoGbMaxExtentSparse" {
			s.Options.BlockSize = 4 << 10 // less to replay
			t.Run(name, func(t *testing.T) { disktest.Arrange(t, s) })
		}
	}
}

// oddImage is a disk of 20 grains of 4 KiB, stored in an order of its own, from the third sector after the tables on, with gaps of a grain and 5
// sectors before each fourth. Grain n repeats n+1.
func oddImage(t *testing.T) []byte {
	t.Helper()
	const grain, grains = 4096, 20
	files := disktest.NewRecorder()
	if err := vmdk.Create(path, disk.CreateOptions{Size: grains * grain, BlockSize: grain, Files: files}); err != nil {
		t.Fatal(err)
	}
	img := files.Get(path)
	le := binary.LittleEndian
	at := len(img) + 3*512
	for k := range grains {
		n := k * 7 % grains
		if k%4 == 3 {
			at += grain + 5*512
		}
		for _, field := range []int{48, 56} {
			table := le.Uint32(img[le.Uint64(img[field:])*512:]) * 512
			le.PutUint32(img[int(table)+4*n:], uint32(at/512))
		}
		img = append(img, make([]byte, at-len(img))...)
		img = append(img, bytes.Repeat([]byte{byte(n + 1)}, grain)...)
		at += grain
	}
	return img
}

// TestArenaOdd puts grains in order that another program placed at odd sectors.
func TestArenaOdd(t *testing.T) {
	img := oddImage(t)
	files := disktest.NewRecorder()
	files.Put(path, img)
	i, err := vmdk.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	arenas, err := i.Arenas()
	if err != nil || len(arenas) != 1 {
		t.Fatal(arenas, err)
	}
	a := arenas[0]
	if a.Slots() < 24 || a.Slots() > 26 || a.Blocks() != 20 {
		t.Fatalf("%d slots for %d blocks and 5 gaps", a.Slots(), a.Blocks())
	}
	used := map[int64]bool{}
	for b := range a.Blocks() {
		used[a.Slot(b)] = true
	}
	if len(used) != 20 || used[-1] {
		t.Fatalf("blocks are in slots %v", used)
	}
	for b := range a.Blocks() { // all behind the end, then back in order
		if err := a.Move(b, a.Slots()); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Flush(); err != nil {
		t.Fatal(err)
	}
	for b := range a.Blocks() {
		if err := a.Move(b, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := a.Trim(); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(files.Get(path)); n >= len(img) {
		t.Errorf("%d bytes, were %d", n, len(img))
	}
	if i, err = vmdk.Open(path, disk.OpenOptions{ReadOnly: true, Files: files}); err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	last, p := int64(-1), make([]byte, 4096)
	if err := i.Extents(0, i.Size(), func(e disk.Extent) bool {
		if e.Kind != disk.Data || e.Host <= last {
			t.Errorf("%+v lies before byte %d", e, last)
		}
		last = e.Host
		return true
	}); err != nil {
		t.Fatal(err)
	}
	for b := range int64(20) {
		if _, err := i.ReadAt(p, b*4096); err != nil || !bytes.Equal(p, bytes.Repeat([]byte{byte(b + 1)}, 4096)) {
			t.Errorf("block %d has changed (%v)", b, err)
		}
	}
	if r, err := vmdk.Check(path, disk.OpenOptions{Files: files}); err != nil {
		t.Error(err)
	} else if worst, any := r.Worst(); any && worst > disk.Leak {
		t.Errorf("%+v", r.Problems)
	}
}

// TestArenaRefused asks for what cannot be arranged.
func TestArenaRefused(t *testing.T) {
	for name, c := range map[string]struct {
		variant, reason string
		spoil           func(img []byte)
		is              error
	}{
		"flat":   {"monolithicFlat", "preallocated", nil, disk.ErrUnsupported},
		"vmfs":   {"vmfs", "preallocated", nil, disk.ErrUnsupported},
		"stream": {"streamOptimized", "convert", nil, disk.ErrUnsupported},
		"shared grain": {"", "share", func(img []byte) {
			le := binary.LittleEndian
			for _, field := range []int{48, 56} {
				table := img[le.Uint32(img[le.Uint64(img[field:])*512:])*512:]
				copy(table[4:8], table[:4])
			}
		}, disk.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			files := disktest.NewRecorder()
			if c.spoil != nil {
				img := oddImage(t)
				c.spoil(img)
				files.Put(path, img)
			} else if err := vmdk.Create(path, disk.CreateOptions{Size: 1 << 20, Variant: c.variant, Files: files}); err != nil {
				t.Fatal(err)
			}
			i, err := vmdk.Open(path, disk.OpenOptions{Files: files})
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			if _, err := i.Arenas(); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v, want one that says %q", err, c.reason)
			}
		})
	}
}
