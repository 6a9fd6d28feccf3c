package vdi_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vdi"
)

const (
	path    = "d/disk.vdi"
	block   = 16 << 10
	blockAt = 1 << 20 // of the first slot
	mapAt   = 512
)

// written returns the file of a 64 KiB disk in blocks of 16 KiB, of which the second and third are stored.
func written(tb testing.TB, variant string) []byte {
	tb.Helper()
	return disktest.Written(tb, vdi.Create, vdi.Open, path, disk.CreateOptions{Size: 64 << 10, BlockSize: block, Variant: variant}, disktest.Write{Off: block, Data: content()})
}

func content() []byte {
	return append(bytes.Repeat([]byte{0x5a}, block), bytes.Repeat([]byte{0xa5}, block)...)
}

func put(at int, v uint32) func([]byte) []byte {
	return func(p []byte) []byte { binary.LittleEndian.PutUint32(p[at:], v); return p }
}

func entry(n int, v uint32) func([]byte) []byte { return put(mapAt+4*n, v) }

// TestHostile changes one thing each in a sound image and expects one clear error.
func TestHostile(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"signature":             {put(vdi.SignatureAt, 1), "no VDI header"},
		"version 0.1":           {put(vdi.VersionAt, 1), "version 0.1"},
		"header size":           {put(vdi.SizeAt, 8), "a header of 8 bytes"},
		"type":                  {put(vdi.TypeAt, 9), "unknown disk type 9"},
		"differencing":          {put(vdi.TypeAt, 4), "differencing"},
		"undo":                  {put(vdi.TypeAt, 3), "differencing"},
		"linked":                {put(vdi.LinkAt, 77), "0000004d-0000"},
		"sectors of 4096":       {put(vdi.SectorAt, 4096), "sectors of 4096"},
		"capacity 2^63":         {put(vdi.CapacityAt+4, 1<<31), "capacity"},
		"capacity 2^61":         {put(vdi.CapacityAt+4, 1<<29), "do not cover"},
		"block size 0":          {put(vdi.BlockAt, 0), "block size"},
		"block size odd":        {put(vdi.BlockAt, 5000), "block size"},
		"block size 2^31":       {put(vdi.BlockAt, 1<<31), "block size"},
		"extra 2^31":            {put(vdi.ExtraAt, 1<<31), "in front of each block"},
		"2^32 blocks":           {put(vdi.BlocksAt, 1<<32-1), "larger than any disk needs"},
		"too few blocks":        {put(vdi.BlocksAt, 3), "do not cover"},
		"more blocks than file": {put(vdi.BlocksAt, 1<<20), "leaves the file"},
		"map over the header":   {put(vdi.MapAt, 0), "leaves the file"},
		"map at the end":        {put(vdi.MapAt, 1<<31), "leaves the file"},
		"data over the map":     {put(vdi.DataAt, 512), "overlaps the block map"},
		"data odd":              {put(vdi.DataAt, 1<<20+7), "overlaps the block map"},
		"block past the end":    {entry(0, 3), "beyond the end"},
		"slot 2^32":             {entry(0, 1<<32-3), "only 4 blocks"},
		"two in one slot":       {entry(0, 1), "shares slot 1"},
		"truncated data":        {func(p []byte) []byte { return p[:len(p)-4096] }, "beyond the end"},
		"truncated map":         {func(p []byte) []byte { return p[:514] }, "leaves the file"},
		"truncated header":      {func(p []byte) []byte { return p[:400] }, "ends inside its header"},
		"nothing":               {func([]byte) []byte { return nil }, "ends inside its header"},
	} {
		t.Run(name, func(t *testing.T) {
			disktest.Refused(t, vdi.Open, path, c.change(written(t, "dynamic")), c.want)
		})
	}
}

// reads opens img for writing and expects the content where it was written.
func reads(t *testing.T, img []byte) (*disktest.Recorder, disk.Info) {
	t.Helper()
	files := disktest.NewRecorder()
	files.Put(path, img)
	i, err := vdi.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2*block)
	if _, err := i.ReadAt(got, block); err != nil || !bytes.Equal(got, content()) {
		t.Errorf("does not read as written: %v", err)
	}
	info := i.Info()
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	return files, info
}

// TestRecover opens images as a writer may leave them that died, for writing, and expects that they check clean then.
func TestRecover(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"gap": func(p []byte) []byte { // slot 0 is empty, and the blocks are in slots 1 and 2
			p = append(p, make([]byte, block)...)
			copy(p[blockAt+block:], content())
			copy(p[blockAt:], bytes.Repeat([]byte{0xee}, block))
			return put(vdi.AllocatedAt, 3)(entry(1, 1)(entry(2, 2)(p)))
		},
		"count too high": put(vdi.AllocatedAt, 4),
		"count too low":  put(vdi.AllocatedAt, 0),
		"room":           func(p []byte) []byte { return append(p, make([]byte, 10*block)...) },
	} {
		t.Run(name, func(t *testing.T) {
			img := change(written(t, "dynamic"))
			files := disktest.NewRecorder()
			files.Put(path, img)
			if r, err := vdi.Check(path, disk.OpenOptions{Files: files}); err != nil || len(r.Problems) == 0 {
				t.Fatalf("check finds nothing to recover: %+v, %v", r, err)
			}
			files, info := reads(t, img)
			if !info.Unclean {
				t.Error("nothing is said about the writer")
			}
			r, err := vdi.Check(path, disk.OpenOptions{Files: files})
			if err != nil || len(r.Problems) > 0 {
				t.Errorf("check: %+v, %v", r, err)
			}
			if _, info = reads(t, files.Get(path)); info.Unclean {
				t.Error("recovered twice")
			}
		})
	}
}

// TestExtra reads and extends an image with room for others in front of each block.
func TestExtra(t *testing.T) {
	old := written(t, "dynamic")
	img := put(vdi.ExtraAt, 1024)(bytes.Clone(old[:blockAt]))
	for n := range 2 {
		img = append(img, bytes.Repeat([]byte{0xee}, 1024)...)
		img = append(img, old[blockAt+n*block:][:block]...)
	}
	files, _ := reads(t, img)
	i, err := vdi.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.WriteAt([]byte{1, 2, 3}, 3*block); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	reads(t, files.Get(path))
	got := files.Get(path)
	if at := blockAt + 2*(block+1024) + 1024; !bytes.Equal(got[at:at+4], []byte{1, 2, 3, 0}) {
		t.Error("the new block is not where its slot is")
	}
}

// TestModify expects a new modification UUID from the first write of a session, and none from reading.
func TestModify(t *testing.T) {
	img := written(t, "dynamic")
	id := func(p []byte) string { return string(p[vdi.ModifyAt : vdi.ModifyAt+16]) }
	files, _ := reads(t, img)
	if id(files.Get(path)) != id(img) {
		t.Error("reading changed the UUID")
	}
	i, err := vdi.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.WriteAt([]byte{1}, 0); err != nil {
		t.Fatal(err)
	}
	if id(files.Get(path)) == id(img) {
		t.Error("writing left the UUID")
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestZeroBlocks reads blocks that are marked as zeroes, and writes to one.
func TestZeroBlocks(t *testing.T) {
	files := disktest.NewRecorder()
	files.Put(path, entry(0, 0xfffffffe)(written(t, "dynamic")))
	i, err := vdi.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []disk.ExtentKind
	if err := i.Extents(0, i.Size(), func(e disk.Extent) bool { kinds = append(kinds, e.Kind); return true }); err != nil {
		t.Fatal(err)
	}
	if len(kinds) != 3 || kinds[0] != disk.Zero || kinds[1] != disk.Data || kinds[2] != disk.Hole {
		t.Errorf("extents %v, want zero, data, hole", kinds)
	}
	if _, err := i.WriteAt([]byte{7}, 100); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 102)
	if _, err := i.ReadAt(got, 0); err != nil || got[100] != 7 || got[99] != 0 || got[101] != 0 {
		t.Errorf("not what was written: %v %v", got[99:], err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCheck finds what a check must.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   disk.Severity
	}{
		"blocks share a slot": {entry(0, 1), disk.Damage},
		"block past the end":  {entry(0, 3), disk.Damage},
		"count too low":       {put(vdi.AllocatedAt, 1), disk.Repairable},
		"count too high":      {put(vdi.AllocatedAt, 3), disk.Leak},
		"leak":                {entry(2, 0xffffffff), disk.Leak},
	} {
		files := disktest.NewRecorder()
		files.Put(path, c.change(written(t, "dynamic")))
		r, err := vdi.Check(path, disk.OpenOptions{Files: files})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if worst, any := r.Worst(); !any || worst != c.want {
			t.Errorf("%s: %+v, want %v", name, r.Problems, c.want)
		}
	}
}

func FuzzImage(f *testing.F) {
	for _, img := range [][]byte{written(f, "dynamic"), written(f, "fixed"), entry(1, 1)(written(f, "dynamic"))} {
		// Without the room in front of the blocks a mutation hits something more often.
		f.Add(put(vdi.DataAt, 1024)(append(bytes.Clone(img[:1024]), img[blockAt:]...)))
	}
	s := subjects()["dynamic"]
	f.Fuzz(func(t *testing.T, content []byte) { disktest.Exercise(t, s, content) })
}

// FuzzMaintain is the suite Maintain on images of unknown content.
func FuzzMaintain(f *testing.F) {
	for _, img := range [][]byte{written(f, "dynamic"), written(f, "fixed"), put(vdi.AllocatedAt, 0)(written(f, "dynamic"))} {
		small := put(vdi.DataAt, 1024)(append(bytes.Clone(img[:1024]), img[blockAt:]...))
		f.Add(small, int64(200<<10))
		f.Add(small, int64(20<<10))
	}
	s := subjects()["dynamic"]
	s.Repair = vdi.Repair
	f.Fuzz(func(t *testing.T, content []byte, size int64) { disktest.Maintain(t, s, content, size, 4<<20) })
}
