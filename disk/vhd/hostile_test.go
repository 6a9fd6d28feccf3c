package vhd_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhd"
)

func put64(p []byte, v uint64) { binary.BigEndian.PutUint64(p, v) }
func put32(p []byte, v uint32) { binary.BigEndian.PutUint32(p, v) }

const (
	headerAt = 512
	tableAt  = 1536
)

// footers returns both copies of the footer.
func footers(img []byte) [][]byte { return [][]byte{img[:512], img[len(img)-512:]} }

// TestHostile changes one thing each in a sound image and expects one clear error.
func TestHostile(t *testing.T) {
	footer := func(field int, value uint64, size int) func([]byte) []byte {
		return func(p []byte) []byte {
			for _, f := range footers(p) {
				if size == 8 {
					put64(f[field:], value)
				} else {
					put32(f[field:], uint32(value))
				}
			}
			return p
		}
	}
	header := func(field int, value uint64, size int) func([]byte) []byte {
		return func(p []byte) []byte {
			if size == 8 {
				put64(p[headerAt+field:], value)
			} else {
				put32(p[headerAt+field:], uint32(value))
			}
			return p
		}
	}
	entry := func(n int, sector uint32) func([]byte) []byte {
		return func(p []byte) []byte { put32(p[tableAt+4*n:], sector); return p }
	}
	for name, c := range map[string]struct {
		change func([]byte) []byte
		broken bool // leave the checksums wrong
		want   string
	}{
		"footer checksums":      {footer(48, 1<<20, 8), true, "checksum"},
		"header checksum":       {header(32, 4096, 4), true, "dynamic header checksum"},
		"version":               {footer(12, 0x20000, 4), false, "version"},
		"type":                  {footer(60, 9, 4), false, "unknown disk type 9"},
		"differencing":          {footer(60, 4, 4), false, "does not say where"},
		"size 2^63":             {footer(48, 1<<63, 8), false, "capacity"},
		"size 2^61":             {footer(48, 1<<61, 8), false, "do not cover"},
		"header offset 2^64":    {footer(16, 1<<64-512, 8), false, "dynamic header's offset"},
		"header offset odd":     {footer(16, 700, 8), false, "dynamic header's offset"},
		"header is the footer":  {footer(16, 0, 8), false, "dynamic header's offset"},
		"no header":             {header(0, 0, 8), false, "cxsparse"},
		"block size 0":          {header(32, 0, 4), false, "block size"},
		"block size odd":        {header(32, 5000, 4), false, "block size"},
		"block size 2^31":       {header(32, 1<<31, 4), false, "block size"},
		"2^32 blocks":           {header(28, 1<<32-1, 4), false, "larger than any disk needs"},
		"too few blocks":        {header(28, 3, 4), false, "do not cover"},
		"more blocks than file": {header(28, 1<<20, 4), false, "leaves the file"},
		"table 2^64":            {header(16, 1<<64-512, 8), false, "leaves the file"},
		"table at the end":      {header(16, 1<<20, 8), false, "leaves the file"},
		"table over header":     {header(16, 512, 8), false, "overlaps what lies at bytes 512 to 1536"},
		"block past the end":    {entry(0, 1<<31), false, "beyond the end"},
		"block over the footer": {entry(0, 0), false, "overlaps the disk's tables"},
		"block over the header": {entry(0, 1), false, "overlaps the disk's tables"},
		"block over the table":  {entry(0, 3), false, "overlaps the disk's tables"},
		"truncated data":        {func(p []byte) []byte { return p[:len(p)-4096] }, true, "beyond the end"},
		"truncated table":       {func(p []byte) []byte { return p[:1540] }, true, ""},
		"truncated header":      {func(p []byte) []byte { return p[:1000] }, true, "dynamic header"},
		"footer's copy only":    {func(p []byte) []byte { return p[:512] }, true, "dynamic header"},
		"almost nothing":        {func(p []byte) []byte { return p[:510] }, true, "too few"},
		"nothing":               {func([]byte) []byte { return nil }, true, "too few"},
		"no footers":            {func(p []byte) []byte { clear(p[:512]); clear(p[len(p)-512:]); return p }, true, "no sound copy"},
	} {
		t.Run(name, func(t *testing.T) {
			img := c.change(written(t, "dynamic"))
			if !c.broken {
				vhd.Mend(img)
			}
			refused(t, img, c.want)
		})
	}
	t.Run("fixed and truncated", func(t *testing.T) {
		img := written(t, "fixed")
		refused(t, img[4096:], "holds only")
	})
	t.Run("fixed without footer", func(t *testing.T) {
		// What the guest wrote to its first sector must not be taken for the copy of a footer.
		img := written(t, "fixed")
		copy(img, img[len(img)-512:])
		refused(t, img[:len(img)-512], "no sound copy")
	})
}

func refused(t *testing.T, img []byte, want string) {
	t.Helper()
	disktest.Refused(t, vhd.Open, path, img, want)
}

// reads opens img and expects a disk of size bytes whose part [16 KiB, 48 KiB) is as written.
func reads(t *testing.T, img []byte, size int64) disk.Info {
	t.Helper()
	files := disktest.NewRecorder()
	files.Put(path, img)
	i, err := vhd.Open(path, disk.OpenOptions{ReadOnly: true, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if i.Size() != size {
		t.Errorf("size %d, want %d", i.Size(), size)
	}
	p := make([]byte, 32<<10)
	if _, err := i.ReadAt(p, 16<<10); err != nil || !bytes.Equal(p, bytes.Repeat([]byte{0x5a}, 32<<10)) {
		t.Errorf("does not read as written: %v", err)
	}
	return i.Info()
}

// TestFooters opens images with one footer or an old, short one.
func TestFooters(t *testing.T) {
	img := written(t, "dynamic")
	if info := reads(t, img[:len(img)-512], 64<<10); !info.Unclean || len(info.Warnings) == 0 {
		t.Errorf("nothing is said about the missing footer: %+v", info)
	}
	img = written(t, "dynamic")
	clear(img[:512])
	reads(t, img, 64<<10)
	reads(t, written(t, "fixed"), 64<<10)

	for _, variant := range []string{"dynamic", "fixed"} {
		img = written(t, variant)
		reads(t, img[:len(img)-1], 64<<10) // the last byte is reserved, and zero
	}
}

// TestSize takes the capacity from the geometry for the programs that meant it, and from the current size for all others.
func TestSize(t *testing.T) {
	const geometry = 7 * 4 * 4 * 512 // 57344
	for creator, want := range map[string]int64{
		"vpc ": geometry, "vs  ": geometry, "qemu": geometry,
		"win ": 64 << 10, "qem2": 64 << 10, "d2v ": 64 << 10, "tap\x00": 64 << 10, "CTXS": 64 << 10, "vbox": 64 << 10, "vmm ": 64 << 10,
	} {
		img := written(t, "dynamic")
		for _, f := range footers(img) {
			copy(f[28:], creator)
			copy(f[56:], []byte{0, 7, 4, 4})
		}
		vhd.Mend(img)
		reads(t, img, want)
	}
	img := written(t, "dynamic")
	for _, f := range footers(img) { // the largest geometry says nothing
		copy(f[28:], "vpc ")
	}
	vhd.Mend(img)
	reads(t, img, 64<<10)
}

// TestBitmap clears bits of a block's sector bitmap over sectors that hold something: they read as zeroes, and a write into
// the block keeps them so.
func TestBitmap(t *testing.T) {
	img := written(t, "dynamic")
	block := int(binary.BigEndian.Uint32(img[tableAt+4:])) * 512
	img[block] = 0x0f // sectors 0 to 3 of 32 are absent
	img[block+2] = 0xfe
	files := disktest.NewRecorder()
	files.Put(path, img)
	want := bytes.Repeat([]byte{0x5a}, 16<<10)
	clear(want[:4*512])
	clear(want[23*512 : 24*512])
	compare := func(i disk.Image) {
		t.Helper()
		got := make([]byte, 16<<10)
		if _, err := i.ReadAt(got, 16<<10); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("the block does not read as its bitmap says: %v", err)
		}
	}
	i, err := vhd.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	compare(i)
	if _, err := i.WriteAt([]byte{1, 2, 3}, 16<<10+600); err != nil {
		t.Fatal(err)
	}
	copy(want[600:], []byte{1, 2, 3})
	compare(i)
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if i, err = vhd.Open(path, disk.OpenOptions{ReadOnly: true, Files: files}); err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	compare(i)
}

// TestCheck finds what Open does not look for.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   disk.Severity
	}{
		"blocks share a place": {func(p []byte) []byte { copy(p[tableAt:tableAt+4], p[tableAt+4:]); return p }, disk.Damage},
		"footer gone":          {func(p []byte) []byte { return p[:len(p)-512] }, disk.Repairable},
		"copy gone":            {func(p []byte) []byte { clear(p[:512]); return p }, disk.Repairable},
		"leak":                 {func(p []byte) []byte { put32(p[tableAt+4:], 0xffffffff); return p }, disk.Leak},
	} {
		files := disktest.NewRecorder()
		files.Put(path, c.change(written(t, "dynamic")))
		r, err := vhd.Check(path, disk.OpenOptions{Files: files})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if worst, any := r.Worst(); !any || worst != c.want {
			t.Errorf("%s: %+v, want %v", name, r.Problems, c.want)
		}
	}
}
