package vhdx_test

import (
	"bytes"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhdx"
)

// written returns the file of a closed 4 MiB disk in blocks of 1 MiB whose second block holds 0x5a.
func written(tb testing.TB) []byte {
	tb.Helper()
	files := disktest.NewRecorder()
	files.Put(path, killed(tb))
	i, err := vhdx.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		tb.Fatal(err)
	}
	if err := i.Close(); err != nil {
		tb.Fatal(err)
	}
	return files.Get(path)
}

// Places of the metadata items that Create writes, and of their entries in the table.
const (
	itemsAt    = metadataAt + 64<<10
	blockAt    = itemsAt
	flagsAt    = itemsAt + 4
	sizeAt     = itemsAt + 8
	logicalAt  = itemsAt + 32
	physicalAt = itemsAt + 36
)

func itemEntry(n int) int { return metadataAt + 32 + 32*n }

// both changes a field of both headers or region tables.
func both(first, second, field int, value uint64, size int) func(p []byte) {
	return func(p []byte) {
		for _, at := range []int{first, second} {
			put(p[at+field:], value, size)
		}
	}
}

func put(p []byte, value uint64, size int) {
	for k := range size {
		p[k] = byte(value >> (8 * k))
	}
}

func header(field int, value uint64, size int) func(p []byte) {
	return both(header1, header2, field, value, size)
}

func region(n, field int, value uint64, size int) func(p []byte) {
	return both(regions1, regions2, 16+32*n+field, value, size)
}

func set(at int, value uint64, size int) func(p []byte) {
	return func(p []byte) { put(p[at:], value, size) }
}

// TestHostile changes one thing each in a sound image and expects one clear error.
func TestHostile(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]byte)
		broken bool // leave the checksums wrong
		want   string
	}{
		"identifier":           {set(0, 0, 8), false, "vhdxfile"},
		"header checksums":     {header(100, 1, 1), true, "no valid header"},
		"header signatures":    {header(0, 0, 4), false, "no valid header"},
		"equal sequences":      {func(p []byte) { header(8, 7, 8)(p); p[header1+100]++ }, false, "sequence number 7"},
		"version":              {header(66, 2, 2), false, "format version 2"},
		"log not aligned":      {header(72, mib+4096, 8), false, "impossible"},
		"log over the headers": {header(72, 0, 8), false, "impossible"},
		"log over the table":   {header(72, tableAt, 8), false, "overlap"},
		"log past the end":     {header(72, 1<<40, 8), false, "leaves the file"},
		"log at 2^63":          {header(72, 1<<63, 8), false, "no valid header"},
		"region checksums":     {region(0, 28, 3, 1), true, "no valid region table"},
		"region signatures":    {both(regions1, regions2, 0, 0, 4), false, "no valid region table"},
		"2048 regions":         {both(regions1, regions2, 8, 2048, 4), false, "2048 entries"},
		"2^32 regions":         {both(regions1, regions2, 8, 1<<32-1, 4), false, "entries"},
		"no table":             {func(p []byte) { region(0, 0, 0, 16)(p); region(0, 28, 0, 4)(p) }, false, "no block allocation table"},
		"no metadata":          {func(p []byte) { region(1, 0, 0, 16)(p); region(1, 28, 0, 4)(p) }, false, "no metadata"},
		"unknown region":       {region(0, 0, 0, 8), false, "must be understood"},
		"region twice": {func(p []byte) {
			copy(p[regions1+16:], p[regions1+48:regions1+64])
			copy(p[regions2:], p[regions1:regions1+128])
		}, false, "twice"},
		"region not aligned":      {region(0, 16, tableAt+512, 8), false, "aligned"},
		"region at 0":             {region(0, 16, 0, 8), false, "aligned"},
		"region at 2^64":          {region(0, 16, 1<<64-mib, 8), false, "leaves the file"},
		"region of 4 GiB":         {region(0, 24, 1<<32-mib, 4), false, "leaves the file"},
		"regions overlap":         {region(0, 16, metadataAt, 8), false, "overlap"},
		"table too short":         {region(0, 24, 0, 4), false, "too short"},
		"metadata signature":      {set(metadataAt, 0, 8), false, `no "metadata"`},
		"2048 items":              {set(metadataAt+10, 2048, 2), false, "2048 entries"},
		"unknown item":            {set(itemEntry(0), 0, 8), false, "must be understood"},
		"user item":               {set(itemEntry(0)+24, 5, 4), false, "must be understood"},
		"item twice":              {func(p []byte) { copy(p[itemEntry(0):], p[itemEntry(1):itemEntry(1)+16]) }, false, "twice"},
		"item before the items":   {set(itemEntry(0)+16, 512, 4), false, "leaves the metadata"},
		"item past the end":       {set(itemEntry(0)+16, mib-4, 4), false, "leaves the metadata"},
		"item too long":           {set(itemEntry(0)+20, 1<<32-1, 4), false, "leaves the metadata"},
		"item of another length":  {set(itemEntry(1)+20, 4, 4), false, "wrong length"},
		"item missing":            {func(p []byte) { put(p[itemEntry(2):], 0, 8); put(p[itemEntry(2)+24:], 0, 4) }, false, "missing"},
		"block size 0":            {set(blockAt, 0, 4), false, "block size 0"},
		"block size odd":          {set(blockAt, 3*mib, 4), false, "block size"},
		"block size 2^31":         {set(blockAt, 1<<31, 4), false, "block size"},
		"size 2^63":               {set(sizeAt, 1<<63, 8), false, "at most 64 TiB"},
		"size 64 TiB and more":    {set(sizeAt, 64<<40+512, 8), false, "at most 64 TiB"},
		"size odd":                {set(sizeAt, 1000, 8), false, "in sectors of"},
		"size beyond the table":   {set(sizeAt, 1<<40, 8), false, "too short"},
		"sector size":             {set(logicalAt, 520, 4), false, "logical sector size"},
		"physical sector size":    {set(physicalAt, 0, 4), false, "physical sector size"},
		"parent without locator":  {set(flagsAt, 2, 4), false, "parent locator"},
		"unknown state":           {set(tableAt, 4, 8), false, "unknown state 4"},
		"partial without parent":  {set(tableAt, blocksAt|7, 8), false, "only a disk with a parent"},
		"block past the end":      {set(tableAt, 1<<40|6, 8), false, "beyond the end"},
		"block at 2^63":           {set(tableAt, 1<<63|6, 8), false, "beyond the end"},
		"block at 2^64":           {set(tableAt, 1<<64-mib|6, 8), false, "beyond the end"},
		"block over the headers":  {set(tableAt, 6, 8), false, "overlaps the headers"},
		"block over the log":      {set(tableAt, logAt|6, 8), false, "overlaps the log"},
		"block over the metadata": {set(tableAt, metadataAt|6, 8), false, "overlaps the metadata"},
		"block over the table":    {set(tableAt, tableAt|6, 8), false, "overlaps the block allocation table"},
	} {
		t.Run(name, func(t *testing.T) {
			img := written(t)
			c.change(img)
			if !c.broken {
				vhdx.Mend(img)
			}
			refused(t, img, c.want)
		})
	}
	for name, size := range map[string]int{
		"nothing": 0, "identifier only": 4096, "one header": header2, "no regions": regions1, "one region table": regions2, "no metadata": metadataAt,
		"no table": tableAt, "half a table": tableAt + 4096, "no blocks": blocksAt, "half a block": blocksAt + mib/2,
	} {
		t.Run("truncated to "+name, func(t *testing.T) { refused(t, written(t)[:size], "") })
	}
}

// TestSecondCopies opens images whose first or second copy of something is lost.
func TestSecondCopies(t *testing.T) {
	for _, at := range []int{header1, header2, regions1, regions2} {
		img := written(t)
		clear(img[at : at+4096])
		files := disktest.NewRecorder()
		files.Put(path, img)
		i, err := vhdx.Open(path, disk.OpenOptions{Files: files})
		if err != nil {
			t.Fatalf("without what is at %d: %v", at, err)
		}
		p := make([]byte, 4*mib)
		if _, err := i.ReadAt(p, 0); err != nil || !bytes.Equal(p, expected()) || len(i.Info().Warnings) == 0 {
			t.Errorf("without what is at %d: %v, warnings %v", at, err, i.Info().Warnings)
		}
		i.Close()
		r, err := vhdx.Check(path, disk.OpenOptions{Files: files})
		if err != nil {
			t.Fatal(err)
		}
		if worst, any := r.Worst(); !any || worst != disk.Repairable {
			t.Errorf("without what is at %d: %+v, want something repairable", at, r.Problems)
		}
	}
}

// TestStates reads blocks in every state. A write to them stores the whole block.
func TestStates(t *testing.T) {
	for state, want := range map[uint64]disk.ExtentKind{0: disk.Hole, 1: disk.Zero, 2: disk.Zero, 3: disk.Zero, 6: disk.Data} {
		img := written(t)
		put(img[tableAt+8:], blocksAt|state, 8) // other programs leave the place there
		files := disktest.NewRecorder()
		files.Put(path, img)
		i, err := vhdx.Open(path, disk.OpenOptions{Files: files})
		if err != nil {
			t.Fatalf("state %d: %v", state, err)
		}
		content := make([]byte, mib)
		if want == disk.Data {
			content = bytes.Repeat([]byte{0x5a}, mib)
		}
		compare := func(when string) {
			t.Helper()
			got := make([]byte, mib)
			if _, err := i.ReadAt(got, mib); err != nil || !bytes.Equal(got, content) {
				t.Errorf("state %d, %s: not read as it should (%v)", state, when, err)
			}
		}
		compare("before")
		i.Extents(mib, mib, func(e disk.Extent) bool {
			if e.Kind != want {
				t.Errorf("state %d: %+v, want kind %d", state, e, want)
			}
			return true
		})
		copy(content[5000:], "hello")
		if _, err := i.WriteAt([]byte("hello"), mib+5000); err != nil {
			t.Fatal(err)
		}
		compare("after a write")
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIdentifiers checks that the contents' identifiers change before the first change of a session, and only then.
func TestIdentifiers(t *testing.T) {
	ids := func(img []byte) (file, data string) {
		at := header1
		if le.Uint64(img[header2+8:]) > le.Uint64(img[header1+8:]) {
			at = header2
		}
		return string(img[at+16 : at+32]), string(img[at+32 : at+48])
	}
	files := disktest.NewRecorder()
	files.Put(path, written(t))
	file0, data0 := ids(files.Get(path))
	i, err := vhdx.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if file1, data1 := ids(files.Get(path)); file1 != file0 || data1 != data0 {
		t.Error("they changed although nothing was written")
	}
	if _, err := i.WriteAt([]byte{1}, mib); err != nil {
		t.Fatal(err)
	}
	file1, data1 := ids(files.Get(path))
	if file1 == file0 || data1 == data0 {
		t.Error("they did not change with the first write")
	}
	if _, err := i.WriteAt([]byte{1}, mib); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if file2, data2 := ids(files.Get(path)); file2 != file1 || data2 != data1 {
		t.Error("they changed more than once")
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p []byte) []byte
		want   disk.Severity
	}{
		"blocks share a place": {func(p []byte) []byte { put(p[tableAt:], blocksAt|6, 8); return p }, disk.Damage},
		"block past the end":   {func(p []byte) []byte { put(p[tableAt:], 1<<40|6, 8); return p }, disk.Damage},
		"unknown state":        {func(p []byte) []byte { put(p[tableAt:], 5, 8); return p }, disk.Damage},
		"leak":                 {func(p []byte) []byte { return append(p, make([]byte, mib)...) }, disk.Leak},
	} {
		files := disktest.NewRecorder()
		files.Put(path, c.change(written(t)))
		r, err := vhdx.Check(path, disk.OpenOptions{Files: files})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if worst, any := r.Worst(); !any || worst != c.want {
			t.Errorf("%s: %+v, want %v", name, r.Problems, c.want)
		}
	}
	files := disktest.NewRecorder()
	files.Put(path, killed(t))
	r, err := vhdx.Check(path, disk.OpenOptions{Files: files})
	if worst, _ := r.Worst(); err != nil || worst != disk.Repairable || r.Allocated != 1 || r.Total != 4 {
		t.Errorf("a log that waits: %+v, %v", r, err)
	}
}
