package vhdx_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhdx"
)

// packedDown drops the blocks that keep refuses, fills what is free from the end of the file, and trims.
func packedDown(a disk.Arena, keep func(block int64) bool) error {
	used := map[int64]bool{}
	for block := range a.Blocks() {
		if keep(block) {
			used[a.Slot(block)] = true
		} else if err := a.Drop(block); err != nil {
			return err
		}
	}
	if err := a.Flush(); err != nil {
		return err
	}
	stored := int64(len(used))
	if used[-1] {
		stored--
	}
	free := int64(0)
	for block := range a.Blocks() {
		if a.Slot(block) < stored {
			continue
		}
		for used[free] {
			free++
		}
		used[free] = true
		if err := a.Move(block, free); err != nil {
			return err
		}
	}
	return errors.Join(a.Flush(), a.Trim())
}

// TestTrimBitmaps has a child's sector bitmaps, which lie all over the file, move in front of the end of what is left. Power may fail at any
// moment.
func TestTrimBitmaps(t *testing.T) {
	files := disktest.NewRecorder()
	places := scattered(t, files)
	before := len(files.Get(path))
	files.Settle()
	i := opened(t, path, disk.OpenOptions{Files: files, Alone: true, KeepIdentity: true})
	arenas, err := i.Arenas()
	if err != nil {
		t.Fatal(err)
	}
	kept := []int64{places[0], places[30], places[79]}
	if err := packedDown(arenas[0], func(block int64) bool { return block == 0 || block == kept[1]/mib || block == kept[2]/mib }); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(marks(i, false, kept...), i.Close(), sound(path, files)); err != nil {
		t.Fatal(err)
	}
	const chunks = 10
	if after := len(files.Get(path)); after > blocksAt+(len(kept)+chunks)*mib {
		t.Errorf("the file went from %d bytes to %d, and stores %d blocks and %d bitmaps", before, after, len(kept), chunks)
	}
	look := func(left disk.Files) error {
		i, err := vhdx.Open(path, disk.OpenOptions{Files: left})
		if err != nil {
			return err
		}
		return errors.Join(marks(i, false, kept...), i.Close(), sound(path, left))
	}
	if err := look(files); err != nil {
		t.Fatal(err)
	}
	states, err := files.Crashes(rand.New(rand.NewPCG(1, 2)), 16, func(_ int, left *disktest.Recorder) error { return look(left) })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crashes", states)
}

// TestArrangeQemu has qemu judge a disk whose blocks were moved and dropped.
func TestArrangeQemu(t *testing.T) {
	img := disktest.FindTool(t, "qemu-img", "qemu-utils")
	dir := disktest.Dir(t)
	file, raw := filepath.Join(dir, "disk.vhdx"), filepath.Join(dir, "disk.raw")
	const size = 40*mib + 512
	if err := vhdx.Create(file, disk.CreateOptions{Size: size, BlockSize: 2 * mib}); err != nil {
		t.Fatal(err)
	}
	i := opened(t, file, disk.OpenOptions{})
	want := make([]byte, size)
	for k := range want {
		want[k] = byte(k >> 12)
	}
	if _, err := i.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	arenas, err := i.Arenas()
	if err != nil {
		t.Fatal(err)
	}
	if err := packedDown(arenas[0], func(block int64) bool { return block%3 != 1 }); err != nil {
		t.Fatal(err)
	}
	for block := int64(1); block < 21; block += 3 {
		clear(want[block*2*mib : min(size, (block+1)*2*mib)])
	}
	if err := errors.Join(i.Close(), os.WriteFile(raw, want, 0o600)); err != nil {
		t.Fatal(err)
	}
	img.Run("check", "-q", "-f", "vhdx", file)
	img.Run("compare", "-f", "vhdx", "-F", "raw", file, raw)
}

// TestHoles has new blocks go where others were.
func TestHoles(t *testing.T) {
	files := disktest.NewRecorder()
	files.Put(path, written(t))
	i := opened(t, path, disk.OpenOptions{Files: files})
	full := make([]byte, 4*mib)
	for k := range full {
		full[k] = 1
	}
	if _, err := i.WriteAt(full, 0); err != nil {
		t.Fatal(err)
	}
	before := len(files.Get(path))
	if err := arranged(i, func(a disk.Arena) error { return errors.Join(a.Drop(0), a.Drop(1)) }); err != nil {
		t.Fatal(err)
	}
	for _, reopened := range []bool{false, true} { // the first hole while the log is in use, the second one found anew
		if reopened {
			if err := errors.Join(i.Close(), sound(path, files)); err != nil {
				t.Fatal(err)
			}
			i = opened(t, path, disk.OpenOptions{Files: files})
		}
		at := int64(1000)
		if reopened {
			at += mib
		}
		p := []byte{9, 9}
		if err := marks(i, true, at); err != nil {
			t.Fatal(err)
		}
		if _, err := i.ReadAt(p, at-2); err != nil || p[0] != 0 || p[1] != 0 {
			t.Errorf("in front of what was written is %v of the block that was there (%v)", p, err)
		}
	}
	if err := errors.Join(i.Close(), sound(path, files)); err != nil {
		t.Fatal(err)
	}
	if after := len(files.Get(path)); after != before {
		t.Errorf("the file has %d bytes, and had %d", after, before)
	}
}
