package vhd_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhd"
)

// edit returns what changes the bytes of an image, for the suite of repairs.
func edit(change func(img []byte) []byte) func(testing.TB, string, disk.Files) {
	return func(t testing.TB, path string, files disk.Files) {
		rec := files.(*disktest.Recorder)
		rec.Put(path, change(rec.Get(path)))
	}
}

// tableOf returns where an image's block allocation table starts, and its number of entries.
func tableOf(img []byte) (at, entries int) {
	return int(binary.BigEndian.Uint64(img[headerAt+16:])), int(binary.BigEndian.Uint32(img[headerAt+28:]))
}

// entryAt returns where the nth of the used entries is.
func entryAt(img []byte, n int) int {
	at, entries := tableOf(img)
	for k := range entries {
		if binary.BigEndian.Uint32(img[at+4*k:]) != 0xffffffff {
			if n--; n < 0 {
				return at + 4*k
			}
		}
	}
	panic("too few blocks")
}

func TestRepair(t *testing.T) {
	room := func(n int) func([]byte) []byte {
		return func(p []byte) []byte { return append(p, make([]byte, n)...) }
	}
	damages := []disktest.Damage{
		{Name: "no footer", Worst: disk.Repairable, Do: edit(func(p []byte) []byte { return p[:len(p)-512] })},
		{Name: "damaged footer", Worst: disk.Repairable, Do: edit(func(p []byte) []byte { p[len(p)-500]++; return p })},
		{Name: "no copy", Worst: disk.Repairable, Do: edit(func(p []byte) []byte { clear(p[:512]); return p })},
		{Name: "other copy", Worst: disk.Repairable, Do: edit(func(p []byte) []byte { p[24]++; p[67]--; return p })},
		{Name: "footer of 511 bytes", Worst: disk.Repairable, Do: edit(func(p []byte) []byte { return p[:len(p)-1] })},
		{Name: "padded", Worst: disk.Repairable, Do: edit(room(70000))},
		{Name: "header checksum", Worst: disk.Repairable, Do: edit(func(p []byte) []byte { p[headerAt+39]++; return p })},
		{Name: "header checksum and copy", Worst: disk.Repairable, Do: edit(func(p []byte) []byte { clear(p[:512]); p[headerAt+39]++; return p })},
		{Name: "entry beyond the disk", Worst: disk.Repairable, Do: edit(func(p []byte) []byte {
			at, n := tableOf(p)
			put32(p[headerAt+28:], uint32(n+1)) // there is room up to the end of the sector
			put32(p[at+4*n:], 8)
			vhd.Mend(p)
			return p
		})},
		{Name: "room at the end", Worst: disk.Leak, Do: edit(func(p []byte) []byte {
			footer := bytes.Clone(p[len(p)-512:])
			return append(append(p[:len(p)-512], make([]byte, 5<<20)...), footer...)
		})},
		{Name: "blocks share a place", Worst: disk.Damage, Beyond: true, Do: edit(func(p []byte) []byte {
			copy(p[entryAt(p, 0):][:4], p[entryAt(p, 1):])
			clear(p[:512])
			return p
		})},
		{Name: "block beyond the file, no footer", Worst: disk.Damage, Beyond: true, Do: edit(func(p []byte) []byte {
			put32(p[entryAt(p, 0):], 1<<30)
			return p[:len(p)-512]
		})},
	}
	fixed := []disktest.Damage{
		{Name: "footer of 511 bytes", Worst: disk.Repairable, Do: edit(func(p []byte) []byte { return p[:len(p)-1] })},
		{Name: "padded", Worst: disk.Repairable, Do: edit(room(70000))},
		{Name: "padded to a cluster", Worst: disk.Repairable, Do: edit(func(p []byte) []byte { return room(-len(p) & 4095)(p) })},
		{Name: "room before the footer", Worst: disk.Leak, Do: edit(func(p []byte) []byte {
			footer := bytes.Clone(p[len(p)-512:])
			return append(append(p[:len(p)-512], bytes.Repeat([]byte{7}, 99*512)...), footer...)
		})},
	}
	for name, s := range maintained() {
		t.Run(name, func(t *testing.T) {
			if name == "fixed" {
				disktest.Repair(t, s, fixed...)
				return
			}
			disktest.Repair(t, s, damages...)
		})
	}
}

// TestLostBlock has Check find a block that nothing refers to between others, aligned or not, and Repair close the gap.
func TestLostBlock(t *testing.T) {
	files := disktest.NewRecorder()
	files.Put(path, written(t, "dynamic"))
	i, err := vhd.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.WriteAt(bytes.Repeat([]byte{0x5a}, 100), 0); err != nil { // the last one in the file
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	img := files.Get(path)
	put32(img[tableAt+4:], 0xffffffff) // the first one in the file
	files.Put(path, img)
	r, err := vhd.Check(path, disk.OpenOptions{Files: files})
	if err != nil || len(r.Problems) != 1 || r.Leaked < 16<<10 {
		t.Fatalf("check: %+v, %v, want one leak", r, err)
	}
	if err := vhd.Repair(path, disk.OpenOptions{Files: files}); err != nil {
		t.Fatal(err)
	}
	if r, err = vhd.Check(path, disk.OpenOptions{Files: files}); err != nil || len(r.Problems) > 0 {
		t.Errorf("check of the repaired image: %+v, %v", r, err)
	}
	if got := files.Get(path); len(got) > len(img)-16<<10 {
		t.Errorf("%d bytes, were %d: the gap is still there", len(got), len(img))
	}
}

// TestRepairRefuses leaves alone a header whose checksum is wrong and which does not fit the rest.
func TestRepairRefuses(t *testing.T) {
	img := written(t, "dynamic")
	put32(img[headerAt+28:], 5) // there are 4
	files := disktest.NewRecorder()
	files.Put(path, img)
	if err := vhd.Repair(path, disk.OpenOptions{Files: files}); err == nil {
		t.Error("repaired")
	}
	if files.Events() > 0 {
		t.Error("the file was changed")
	}
}
