package vhdx_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhdx"
)

// identifiers returns those of the current header of an image in memory.
func identifiers(img []byte) (file, data string) {
	at := header1
	if le.Uint64(img[header2+8:]) > le.Uint64(img[header1+8:]) {
		at = header2
	}
	return string(img[at+16 : at+32]), string(img[at+32 : at+48])
}

// TestMaintainedIdentifiers has each operation change the identifier of the file, and that of the contents only if it changes those and is not
// told to keep it.
func TestMaintainedIdentifiers(t *testing.T) {
	parent := written(t)
	for name, c := range map[string]struct {
		do      func(i *vhdx.Image) error
		visible bool
	}{
		"write":  {func(i *vhdx.Image) error { _, err := i.WriteAt([]byte{1}, 0); return err }, true},
		"grow":   {func(i *vhdx.Image) error { return i.Resize(8 * mib) }, true},
		"cut":    {func(i *vhdx.Image) error { return i.Resize(3 * mib) }, true},
		"relink": {func(i *vhdx.Image) error { return i.Relink("d/parent.vhdx", "") }, false},
		"move":   {func(i *vhdx.Image) error { return arranged(i, func(a disk.Arena) error { return a.Move(1, 3) }) }, false},
		"drop":   {func(i *vhdx.Image) error { return arranged(i, func(a disk.Arena) error { return a.Drop(1) }) }, true},
		"trim":   {func(i *vhdx.Image) error { return arranged(i, disk.Arena.Trim) }, false},
	} {
		for _, keep := range []bool{false, true} {
			files := disktest.NewRecorder()
			files.Put(path, written(t))
			files.Put("d/parent.vhdx", parent)
			fileBefore, dataBefore := identifiers(files.Get(path))
			i := opened(t, path, disk.OpenOptions{Files: files, KeepIdentity: keep})
			if err := errors.Join(c.do(i), i.Close(), sound(path, files)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			file, data := identifiers(files.Get(path))
			if name != "trim" && file == fileBefore { // there is nothing to trim
				t.Errorf("%s: the file's identifier is the old one", name)
			}
			if want := c.visible && !keep; (data != dataBefore) != want {
				t.Errorf("%s, keeping the identity: %t; that of the contents changed: %t", name, keep, !want)
			}
		}
	}
}

// arranged does something to an image's only arena.
func arranged(i *vhdx.Image, do func(a disk.Arena) error) error {
	arenas, err := i.Arenas()
	if err != nil {
		return err
	}
	return errors.Join(do(arenas[0]), arenas[0].Flush())
}

// TestRelinkFixed refuses to base a fixed disk upon another, or to arrange its blocks.
func TestRelinkFixed(t *testing.T) {
	files := disktest.NewRecorder()
	files.Put("d/parent.vhdx", written(t))
	if err := vhdx.Create(path, disk.CreateOptions{Size: 4 * mib, Variant: "fixed", BlockSize: mib, Files: files}); err != nil {
		t.Fatal(err)
	}
	i := opened(t, path, disk.OpenOptions{Files: files})
	defer i.Close()
	if err := i.Relink("d/parent.vhdx", ""); !errors.Is(err, disk.ErrUnsupported) {
		t.Errorf("relink: %v, want ErrUnsupported", err)
	}
	if _, err := i.Arenas(); !errors.Is(err, disk.ErrUnsupported) || !strings.Contains(err.Error(), "preallocated") {
		t.Errorf("arrange: %v, want ErrUnsupported and the reason", err)
	}
	if err := i.Relink("", ""); err != nil {
		t.Errorf("to no parent, as it is: %v", err)
	}
}

// TestRelinkMisfit refuses parents of other sectors and other formats, and the disk itself.
func TestRelinkMisfit(t *testing.T) {
	child, _ := family(t)
	other := filepath.Join(filepath.Dir(child), "other.vhdx")
	if err := vhdx.Create(other, disk.CreateOptions{Size: 4 * mib, SectorSize: 4096}); err != nil {
		t.Fatal(err)
	}
	above := filepath.Join(filepath.Dir(child), "above.vhdx")
	if err := vhdx.Create(above, disk.CreateOptions{Parent: child}); err != nil {
		t.Fatal(err)
	}
	for parent, want := range map[string]string{other: "sectors", child: "its own parent", above: "circle", child + "x": "no such file"} {
		i := opened(t, child, disk.OpenOptions{Shared: true}) // without locks, which would refuse the circles too
		if err := i.Relink(parent, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", parent, err, want)
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		reads(t, child, disk.OpenOptions{})
	}
}

// TestRelinkForgets has nothing left of the old parent's other paths and identifiers.
func TestRelinkForgets(t *testing.T) {
	child, parent := family(t)
	setLocator(t, child, func(kind []byte) []byte {
		return locator(kind, "parent_linkage", "{00000000-0000-0000-0000-000000000001}", "parent_linkage2", "{00000000-0000-0000-0000-000000000002}",
			"relative_path", `..\old\gone.vhdx`, "volume_path", `\\?\Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}\old\gone.vhdx`)
	})
	i := opened(t, child, disk.OpenOptions{Alone: true})
	if err := errors.Join(i.Relink(parent, "vhdx"), i.Close(), sound(child, nil)); err != nil {
		t.Fatal(err)
	}
	if info := reads(t, child, disk.OpenOptions{}); info.Parent != parent {
		t.Errorf("%+v, want %s as parent", info, parent)
	}
	i = opened(t, child, disk.OpenOptions{Alone: true, ReadOnly: true})
	defer i.Close()
	if l := vhdx.Names(i); len(l) != 1 || l[0] != "parent.vhdx" {
		t.Errorf("it names its parent as %q", l)
	}
}

// TestRelinkNoRoom has metadata that fill their region.
func TestRelinkNoRoom(t *testing.T) {
	child, parent := family(t)
	img, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	e := img[itemEntry(6):]
	copy(e, "somebody's item.")
	put(e[16:], 70<<10, 4)
	put(e[20:], mib-70<<10, 4)
	put(e[24:], 1, 4)
	put(img[metadataAt+10:], 7, 2)
	if err := os.WriteFile(child, img, 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(filepath.Dir(child), strings.Repeat("x", 200))
	if err := os.Rename(parent, long); err != nil {
		t.Fatal(err)
	}
	i := opened(t, child, disk.OpenOptions{Alone: true})
	for range 30 { // the room in front of the item is for some lengths, and used again
		if err := i.Relink(long, "vhdx"); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(i.Close(), sound(child, nil)); err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(filepath.Dir(child), strings.Repeat("deep/", 700))
	if err := errors.Join(os.MkdirAll(deep, 0o700), os.Rename(long, deep+"parent.vhdx")); err != nil {
		t.Fatal(err)
	}
	i = opened(t, child, disk.OpenOptions{Alone: true})
	defer i.Close()
	if err := i.Relink(deep+"parent.vhdx", ""); !errors.Is(err, disk.ErrUnsupported) || !strings.Contains(err.Error(), "no room") {
		t.Errorf("%v, want ErrUnsupported: no room", err)
	}
}

// scattered makes a child of 40 GiB that stores one sector here and there, so that many pages of its table say something.
func scattered(t *testing.T, files *disktest.Recorder) (places []int64) {
	t.Helper()
	if err := vhdx.Create("d/parent.vhdx", disk.CreateOptions{Size: 40 << 30, BlockSize: mib, Files: files}); err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < 40<<30; at += 512 * mib {
		places = append(places, at+1000)
	}
	i := opened(t, "d/parent.vhdx", disk.OpenOptions{Files: files})
	if err := errors.Join(marks(i, true, places[0]+5000, places[70]+5000), i.Close()); err != nil {
		t.Fatal(err)
	}
	if err := vhdx.Create(path, disk.CreateOptions{Parent: "d/parent.vhdx", BlockSize: mib, Files: files}); err != nil {
		t.Fatal(err)
	}
	i = opened(t, path, disk.OpenOptions{Files: files})
	if err := errors.Join(marks(i, true, places...), i.Close()); err != nil {
		t.Fatal(err)
	}
	return places
}

// TestRelinkNewTable takes the parent from a child whose table changes in more pages than the log holds. Power may fail at any moment.
func TestRelinkNewTable(t *testing.T) {
	files := disktest.NewRecorder()
	places := scattered(t, files)
	files.Settle()
	i := opened(t, path, disk.OpenOptions{Files: files, Alone: true})
	if err := errors.Join(i.Relink("", ""), i.Close(), sound(path, files)); err != nil {
		t.Fatal(err)
	}
	look := func(files disk.Files, mayHaveParent bool) error {
		i, err := vhdx.Open(path, disk.OpenOptions{Files: files})
		if err != nil {
			return err
		}
		err = marks(i, false, places...)
		got := make([]byte, 20)
		for _, at := range []int64{places[0] + 5000, places[70] + 5000} {
			want := make([]byte, 20)
			if mayHaveParent && i.Info().Parent != "" {
				want = fmt.Appendf(nil, "here is %12d", at)
			}
			if _, e := i.ReadAt(got, at); e != nil || !bytes.Equal(got, want) {
				err = errors.Join(err, fmt.Errorf("byte %d is %q, want %q (%w)", at, got, want, e))
			}
		}
		return errors.Join(err, i.Close(), sound(path, files))
	}
	if err := look(files, false); err != nil {
		t.Fatal(err)
	}
	states, err := files.Crashes(rand.New(rand.NewPCG(1, 2)), 16, func(_ int, left *disktest.Recorder) error { return look(left, true) })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crashes", states)
}

// TestRelinkQemu has qemu judge a child that has come to stand alone, and go on with it.
func TestRelinkQemu(t *testing.T) {
	img, io := disktest.FindTool(t, "qemu-img", "qemu-utils"), disktest.FindTool(t, "qemu-io", "qemu-utils")
	child, _ := family(t)
	i := opened(t, child, disk.OpenOptions{})
	if err := errors.Join(i.Relink("", ""), i.Close(), sound(child, nil)); err != nil {
		t.Fatal(err)
	}
	img.Run("check", "-q", "-f", "vhdx", child)
	io.Run("-f", "vhdx", "-c", "read -P 0 0 512", "-c", "read -P 0x77 512 512", "-c", "read -P 0 1024 4193280", "-c", "write -P 0x33 3M 1M", child)
	i = opened(t, child, disk.OpenOptions{})
	defer i.Close()
	p := make([]byte, mib)
	if _, err := i.ReadAt(p, 3*mib); err != nil || !bytes.Equal(p, bytes.Repeat([]byte{0x33}, mib)) {
		t.Errorf("what qemu wrote is not there (%v)", err)
	}
}
