package vmdk_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vmdk"
)

const path = "d/disk.vmdk"

// written returns the file of a 4 MiB disk in grains of 4 KiB whose first grain and one in the middle are stored.
func written(t *testing.T) []byte {
	t.Helper()
	grain := bytes.Repeat([]byte{0x5a}, 4096)
	return disktest.Written(t, vmdk.Create, vmdk.Open, path, disk.CreateOptions{Size: 4 << 20, BlockSize: 4096}, disktest.Write{Off: 0, Data: grain}, disktest.Write{Off: 3 << 20, Data: grain})
}

// sector returns the byte offset that a header field holds.
func sectorAt(img []byte, field int) int { return int(binary.LittleEndian.Uint64(img[field:])) * 512 }

// table returns the byte offset of grain table i, by the directory that a header field names.
func tableAt(img []byte, field, i int) int {
	return int(binary.LittleEndian.Uint32(img[sectorAt(img, field)+4*i:])) * 512
}

func put64(p []byte, v uint64) { binary.LittleEndian.PutUint64(p, v) }
func put32(p []byte, v uint32) { binary.LittleEndian.PutUint32(p, v) }

// TestHostile changes one thing each in a sound image and expects one clear error.
func TestHostile(t *testing.T) {
	const rgd, gd = 48, 56
	for name, c := range map[string]struct {
		change func(img []byte) []byte
		want   string
	}{
		"no magic":             {func(p []byte) []byte { p[0] = 'X'; return p }, "neither a sparse extent nor a descriptor"},
		"version":              {func(p []byte) []byte { p[4] = 9; return p }, "version 9"},
		"capacity 2^63":        {func(p []byte) []byte { put64(p[12:], 1<<63); return p }, "capacity"},
		"capacity 2^52":        {func(p []byte) []byte { put64(p[12:], 1<<52); return p }, "directory"},
		"capacity past the GD": {func(p []byte) []byte { put64(p[12:], 1<<30); return p }, "leaves the file"},
		"grain 0":              {func(p []byte) []byte { put64(p[20:], 0); return p }, "grain size"},
		"grain odd":            {func(p []byte) []byte { put64(p[20:], 9); return p }, "grain size"},
		"grain 2^63":           {func(p []byte) []byte { put64(p[20:], 1<<63); return p }, "grain size"},
		"table of 0":           {func(p []byte) []byte { put32(p[44:], 0); return p }, "entries per grain table"},
		"table of 2^32":        {func(p []byte) []byte { put32(p[44:], 1<<32-1); return p }, "entries per grain table"},
		"GD beyond the end":    {func(p []byte) []byte { put64(p[gd:], 1<<40); return p }, "grain directory offset"},
		"GD 2^64":              {func(p []byte) []byte { put64(p[gd:], 1<<64-2); return p }, "grain directory offset"},
		"no GD":                {func(p []byte) []byte { put64(p[gd:], 0); return p }, "no grain directory"},
		"descriptor too large": {func(p []byte) []byte { put64(p[36:], 1<<50); return p }, "descriptor size"},
		"newlines":             {func(p []byte) []byte { p[75] = '\n'; return p }, "transferred as text"},
		"GD is the RGD":        {func(p []byte) []byte { copy(p[gd:gd+8], p[rgd:rgd+8]); return p }, "overlap"},
		"GD is the header":     {func(p []byte) []byte { put64(p[28:], 0); put64(p[36:], 1); return p }, "descriptor"},
		"two entries, one table": {func(p []byte) []byte {
			at := sectorAt(p, gd)
			copy(p[at:at+4], p[at+4:at+8])
			return p
		}, "overlap"},
		"table over the header": {func(p []byte) []byte {
			for _, f := range []int{gd, rgd} {
				put32(p[sectorAt(p, f):], 1)
			}
			return p
		}, "overlap"},
		"table beyond the end": {func(p []byte) []byte {
			for _, f := range []int{gd, rgd} {
				put32(p[sectorAt(p, f):], 1<<31)
			}
			return p
		}, "beyond the end"},
		"grain over the tables": {func(p []byte) []byte {
			for _, f := range []int{gd, rgd} {
				put32(p[tableAt(p, f, 0):], uint32(sectorAt(p, gd)/512))
			}
			return p
		}, "overlaps the file's tables"},
		"grain beyond the end": {func(p []byte) []byte {
			for _, f := range []int{gd, rgd} {
				put32(p[tableAt(p, f, 0):], 1<<32-1)
			}
			return p
		}, "beyond the end"},
		"zero grain without the flag": {func(p []byte) []byte {
			for _, f := range []int{gd, rgd} {
				put32(p[tableAt(p, f, 0):], 1)
			}
			return p
		}, "overlaps the file's tables"},
		"truncated data":       {func(p []byte) []byte { return p[:len(p)-512] }, "beyond the end"},
		"truncated tables":     {func(p []byte) []byte { return p[:sectorAt(p, gd)+100] }, ""},
		"truncated descriptor": {func(p []byte) []byte { return p[:1000] }, ""},
		"truncated header":     {func(p []byte) []byte { return p[:100] }, ""},
		"empty":                {func([]byte) []byte { return nil }, "neither a sparse extent nor a descriptor"},
		"descriptor gone":      {func(p []byte) []byte { clear(p[512 : 512*21]); return p }, "no CID"},
		"descriptor with more extents": {func(p []byte) []byte {
			return bytes.Replace(p, []byte("\n# The Disk Data Base"), []byte("RW 1 FLAT \"/x\"      "), 1)
		}, "lists 2 extents"},
		"snapshot": {func(p []byte) []byte {
			return bytes.Replace(p, []byte("parentCID=ffffffff"), []byte("parentCID=12345678"), 1)
		}, "parent"},
	} {
		t.Run(name, func(t *testing.T) {
			disktest.Refused(t, vmdk.Open, path, c.change(written(t)), c.want)
		})
	}
}

// TestRedundantCopies damages one of each pair of structures: the disk reads as before, and Check knows.
func TestRedundantCopies(t *testing.T) {
	const rgd, gd = 48, 56
	for name, change := range map[string]func(p []byte){
		"first directory":     func(p []byte) { put32(p[sectorAt(p, gd):], 1<<31) },
		"redundant directory": func(p []byte) { put32(p[sectorAt(p, rgd):], 1<<31) },
		"first table":         func(p []byte) { put32(p[tableAt(p, gd, 0):], 1<<31) },
		"redundant table":     func(p []byte) { put32(p[tableAt(p, rgd, 0):], 1<<31) },
	} {
		t.Run(name, func(t *testing.T) {
			files := disktest.NewRecorder()
			img := written(t)
			change(img)
			files.Put(path, img)
			i, err := vmdk.Open(path, disk.OpenOptions{ReadOnly: true, Files: files})
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			p := make([]byte, 4096)
			if _, err := i.ReadAt(p, 0); err != nil || !bytes.Equal(p, bytes.Repeat([]byte{0x5a}, 4096)) {
				t.Errorf("the sound copy was not used: %v", err)
			}
			r, err := vmdk.Check(path, disk.OpenOptions{Files: files})
			if err != nil {
				t.Fatal(err)
			}
			if worst, any := r.Worst(); !any || worst != disk.Repairable {
				t.Errorf("check: %+v", r.Problems)
			}

			// With the mark of a writer that died, opening for writing repairs it.
			img[72] = 1
			files.Put(path, img)
			w, err := vmdk.Open(path, disk.OpenOptions{Files: files})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if r, err := vmdk.Check(path, disk.OpenOptions{Files: files}); err != nil || len(r.Problems) > 0 {
				t.Errorf("check after recovery: %+v, %v", r, err)
			}
			img = files.Get(path)
			for _, field := range []int{rgd, gd} { // either copy alone must do
				one := bytes.Clone(img)
				put32(one[sectorAt(one, rgd+gd-field):], 1<<31)
				files.Put(path, one)
				w, err := vmdk.Open(path, disk.OpenOptions{ReadOnly: true, Files: files})
				if err != nil {
					t.Fatal(err)
				}
				clear(p)
				if _, err := w.ReadAt(p, 3<<20); err != nil || !bytes.Equal(p, bytes.Repeat([]byte{0x5a}, 4096)) {
					t.Errorf("the copy of header field %d is not right after recovery: %v", field, err)
				}
				w.Close()
			}
		})
	}
}

// TestCheckOverlap maps two grains to one place, which Open does not look for and Check must find.
func TestCheckOverlap(t *testing.T) {
	files := disktest.NewRecorder()
	img := written(t)
	for _, field := range []int{48, 56} {
		at := tableAt(img, field, 0)
		copy(img[at+4:at+8], img[at:at+4])
	}
	files.Put(path, img)
	r, err := vmdk.Check(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if worst, _ := r.Worst(); worst != disk.Damage {
		t.Errorf("check: %+v", r)
	}
}
