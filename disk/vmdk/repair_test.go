package vmdk_test

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vmdk"
)

// spoil changes the file at path in place.
func spoil(t testing.TB, path string, files disk.Files, how func(img []byte) []byte) {
	t.Helper()
	f, err := disk.OpenOptions{Files: files}.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	img := make([]byte, size)
	if err := disk.ReadFull(f, img, 0, "file"); err != nil {
		t.Fatal(err)
	}
	img = how(img)
	if err := f.Truncate(int64(len(img))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(img, 0); err != nil {
		t.Fatal(err)
	}
}

// Where the header says that the directories are.
const (
	redundant = 48
	primary   = 56
)

// directoryOf returns a directory of an extent, up to the end of the file.
func directoryOf(img []byte, which int) []byte {
	return img[binary.LittleEndian.Uint64(img[which:])*512:]
}

// tableOf returns the first grain table of a directory.
func tableOf(img []byte, which int) []byte {
	return img[int64(binary.LittleEndian.Uint32(directoryOf(img, which)))*512:][:2048]
}

// entryOf finds the first entry of a table that leads to a grain.
func entryOf(table []byte) []byte {
	for binary.LittleEndian.Uint32(table) == 0 {
		table = table[4:]
	}
	return table[:4]
}

func TestRepair(t *testing.T) {
	damage := func(name string, worst disk.Severity, how func(img []byte) []byte) disktest.Damage {
		return disktest.Damage{Name: name, Worst: worst, Do: func(t testing.TB, path string, files disk.Files) { spoil(t, path, files, how) }}
	}
	put := func(at func(img []byte) []byte, e uint32) func([]byte) []byte {
		return func(img []byte) []byte {
			binary.LittleEndian.PutUint32(at(img), e)
			return img
		}
	}
	directory := func(which int) func([]byte) []byte {
		return func(img []byte) []byte { return directoryOf(img, which) }
	}
	entry := func(which int) func([]byte) []byte {
		return func(img []byte) []byte { return entryOf(tableOf(img, which)) }
	}
	sparse := []disktest.Damage{
		damage("first directory", disk.Repairable, put(directory(primary), 0xfffffff0)),
		damage("redundant directory", disk.Repairable, put(directory(redundant), 0xfffffff0)),
		damage("first directory lacks a table", disk.Repairable, put(directory(primary), 0)),
		damage("redundant directory lacks a table", disk.Repairable, put(directory(redundant), 0)),
		damage("first table", disk.Repairable, put(entry(primary), 0xfffffff0)),
		damage("redundant table", disk.Repairable, put(entry(redundant), 0xfffffff0)),
		damage("redundant entry lost", disk.Repairable, put(entry(redundant), 0)),
		damage("first entry lost", disk.Repairable, put(entry(primary), 0)),
		damage("mark", disk.Repairable, func(img []byte) []byte { img[72] = 1; return img }),
		damage("leak at the end", disk.Leak, func(img []byte) []byte { return append(img, make([]byte, 300<<10)...) }),
	}
	inside := []disktest.Damage{
		damage("size in the descriptor", disk.Repairable, func(img []byte) []byte {
			at := bytes.Index(img, []byte("\nRW "))
			img[at+4] ^= 1
			return img
		}),
	}
	both := damage("both tables", disk.Damage, func(img []byte) []byte {
		for _, which := range []int{primary, redundant} {
			binary.LittleEndian.PutUint32(entryOf(tableOf(img, which)), 0xfffffff0)
		}
		img[72] = 1
		return img
	})
	both.Beyond = true
	stream := []disktest.Damage{
		damage("end marker", disk.Repairable, func(img []byte) []byte { return img[:len(img)-512] }),
		damage("footer", disk.Repairable, func(img []byte) []byte { return img[:len(img)-1536] }),
		damage("half of the footer", disk.Repairable, func(img []byte) []byte { return img[:len(img)-900] }),
		damage("directory", disk.Repairable, func(img []byte) []byte { return img[:len(img)-2048] }),
		damage("footer overwritten", disk.Repairable, func(img []byte) []byte {
			copy(img[len(img)-1536:], bytes.Repeat([]byte{0xa5}, 1536))
			return img
		}),
	}
	for name, s := range subjects() {
		switch name {
		case "monolithicSparse", "small grains":
			t.Run(name, func(t *testing.T) { disktest.Repair(t, s, append(append(inside, sparse...), both)...) })
		case "streamOptimized":
			t.Run(name, func(t *testing.T) { disktest.Repair(t, s, append(inside, stream...)...) })
		case "twoGbMaxExtentSparse":
			var pieces []disktest.Damage
			for _, d := range append(sparse, both) {
				do := d.Do
				d.Do = func(t testing.TB, path string, files disk.Files) {
					do(t, filepath.Join(filepath.Dir(path), "disk-s001.vmdk"), files)
				}
				pieces = append(pieces, d)
			}
			t.Run(name, func(t *testing.T) { disktest.Repair(t, s, pieces...) })
		}
	}
}

// TestRepairKeepsDamage has a directory that is lost and, where the other one leads, a table that is: a repair must not make a hole of what
// cannot be read.
func TestRepairKeepsDamage(t *testing.T) {
	files := disktest.NewRecorder()
	if err := vmdk.Create(path, disk.CreateOptions{Size: 1 << 20, Files: files}); err != nil {
		t.Fatal(err)
	}
	i, err := vmdk.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.WriteAt([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	spoil(t, path, files, func(img []byte) []byte {
		binary.LittleEndian.PutUint32(entryOf(tableOf(img, redundant)), 0xfffffff0)
		binary.LittleEndian.PutUint32(directoryOf(img, primary), 0xfffffff0)
		return img
	})
	if err := vmdk.Repair(path, disk.OpenOptions{Files: files}); err != nil {
		t.Fatal(err)
	}
	if r, err := vmdk.Check(path, disk.OpenOptions{Files: files}); err != nil {
		t.Fatal(err)
	} else if worst, _ := r.Worst(); worst != disk.Damage {
		t.Errorf("check: %+v", r.Problems)
	}
	if i, err := vmdk.Open(path, disk.OpenOptions{ReadOnly: true, Files: files}); err == nil {
		defer i.Close()
		if n, err := i.ReadAt(make([]byte, 1), 0); err == nil {
			t.Errorf("%d bytes were read of what is lost", n)
		}
	}
}
