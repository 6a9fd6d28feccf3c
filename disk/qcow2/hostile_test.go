package qcow2_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/qcow2"
)

const (
	path    = "d/disk.qcow2"
	cluster = 4 << 10
	copied  = 1 << 63
	packed  = 1 << 62
)

// written returns the file of a 64 KiB disk in clusters of 4 KiB, of which the second and third are stored.
func written(tb testing.TB, variant string) []byte {
	tb.Helper()
	return disktest.Written(tb, qcow2.Create, qcow2.Open, path, disk.CreateOptions{Size: 64 << 10, BlockSize: cluster, Variant: variant}, disktest.Write{Off: cluster, Data: content()})
}

func content() []byte {
	return append(bytes.Repeat([]byte{0x5a}, cluster), bytes.Repeat([]byte{0xa5}, cluster)...)
}

func get64(p []byte, at int64) int64 { return int64(binary.BigEndian.Uint64(p[at:]) & (1<<56 - 512)) }

// l1At, l2At and blockAt are where an image's L1 table, first L2 table and first refcount block are.
func l1At(p []byte) int64    { return get64(p, 40) }
func l2At(p []byte) int64    { return get64(p, l1At(p)) }
func blockAt(p []byte) int64 { return get64(p, get64(p, 48)) }

func put32(at int, v uint32) func([]byte) []byte {
	return func(p []byte) []byte { binary.BigEndian.PutUint32(p[at:], v); return p }
}

func put64(at int64, v uint64) func([]byte) []byte {
	return func(p []byte) []byte { binary.BigEndian.PutUint64(p[at:], v); return p }
}

func l1(n int64, v uint64) func([]byte) []byte {
	return func(p []byte) []byte { return put64(l1At(p)+8*n, v)(p) }
}

func l2(n int64, v uint64) func([]byte) []byte {
	return func(p []byte) []byte { return put64(l2At(p)+8*n, v)(p) }
}

// atTable has an entry point at one of the file's own tables.
func atTable(place func([]byte) int64) func([]byte) []byte {
	return func(p []byte) []byte { return l2(0, uint64(place(p))|copied)(p) }
}

// TestHostile changes one thing each in a sound image and expects one clear error.
func TestHostile(t *testing.T) {
	snapshots := func(n uint32, at uint64) func([]byte) []byte {
		return func(p []byte) []byte { return put64(64, at)(put32(60, n)(p)) }
	}
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"magic":                  {put32(0, 1), "no qcow2 header"},
		"version 1":              {put32(4, 1), "first qcow"},
		"version 4":              {put32(4, 4), "version 4"},
		"clusters of 2^8":        {put32(20, 8), "clusters of 2^8"},
		"clusters of 2^64":       {put32(20, 64), "clusters of 2^64"},
		"encrypted":              {put32(32, 1), "encrypted"},
		"size 2^63":              {put64(24, 1<<63), "capacity"},
		"size 2^61":              {put64(24, 1<<61), "do not cover"},
		"L1 of 2^32 entries":     {put32(36, 1<<32-1), "larger than any disk needs"},
		"L1 of 2^20 entries":     {put32(36, 1<<20), "leaves the file"},
		"L1 at the end":          {put64(40, 1<<40), "leaves the file"},
		"L1 at 2^63":             {put64(40, 1<<63), "leaves the file"},
		"L1 odd":                 {put64(40, 4097), "not the start of a cluster"},
		"L1 is the header":       {put64(40, 0), "not the start of a cluster"},
		"L1 is the refcounts":    {put64(40, cluster), "overlaps"},
		"refcount table 2^32":    {put32(56, 1<<32-1), "larger than any disk needs"},
		"no refcount table":      {put32(56, 0), "no refcount table"},
		"refcount table away":    {put64(48, 1<<50), "leaves the file"},
		"refcounts of 2^7 bits":  {put32(96, 7), "refcounts of 2^7"},
		"refcount block away":    {put64(cluster, 1<<40), "refcount block 0"},
		"refcount block odd":     {put64(cluster, 4097), "refcount block 0"},
		"refcount block is L1":   {func(p []byte) []byte { return put64(cluster, uint64(l1At(p)))(p) }, "overlaps"},
		"header of 2^31 bytes":   {put32(100, 1<<31), "a header of"},
		"header of 8 bytes":      {put32(100, 8), "a header of"},
		"unknown feature":        {put64(72, 1<<40), "bit 40"},
		"corrupt":                {put64(72, 2), "damaged"},
		"data file":              {put64(72, 4), "data file"},
		"subclusters":            {put64(72, 16), "subclusters"},
		"compression unsaid":     {put64(72, 8), "feature bit"},
		"compression unknown":    {func(p []byte) []byte { p[104] = 9; return p }, "compression type 9"},
		"extension too long":     {func(p []byte) []byte { return put32(116, 1<<31)(put32(112, 77)(p)) }, "extension"},
		"parent's name away":     {func(p []byte) []byte { return put32(16, 10)(put64(8, 1<<40)(p)) }, "parent's name"},
		"parent's name too long": {func(p []byte) []byte { return put32(16, 2000)(put64(8, 200)(p)) }, "parent's name"},
		"2^32 snapshots":         {snapshots(1<<32-1, cluster), "snapshots"},
		"snapshots away":         {snapshots(1, 1<<40), "leaves the file"},
		"snapshots cut off":      {cutOff, "ends inside its snapshot table"},
		"snapshots of garbage":   {snapshots(3, cluster), "overlaps"},
		"L2 away":                {l1(0, 1<<40|copied), "L2 table 0"},
		"L2 is the header":       {l1(0, 512|copied), "L2 table 0"},
		"L2 is L1":               {func(p []byte) []byte { return l1(0, uint64(l1At(p))|copied)(p) }, "overlaps"},
		"L2 is a refcount block": {func(p []byte) []byte { return l1(0, uint64(blockAt(p))|copied)(p) }, "overlaps"},
		"cluster away":           {l2(0, 1<<40|copied), "beyond the end"},
		"zero cluster away":      {l2(0, 1<<40|copied|1), "beyond the end"},
		"cluster odd":            {l2(0, 512|copied), "does not start at a cluster"},
		"cluster is L1":          {atTable(l1At), "overlaps"},
		"cluster is L2":          {atTable(l2At), "overlaps"},
		"cluster is the counts":  {atTable(blockAt), "overlaps"},
		"compressed away":        {l2(0, 1<<45|packed), "compressed cluster 0"},
		"compressed in header":   {l2(0, 8|packed), "compressed cluster 0"},
		"zero in version 2":      {func([]byte) []byte { return l2(0, 1)(written(t, "v2")) }, "version 2"},
		"truncated data":         {func(p []byte) []byte { return p[:len(p)-cluster] }, "beyond the end"},
		"truncated tables":       {func(p []byte) []byte { return p[:cluster+100] }, "leaves the file"},
		"truncated header":       {func(p []byte) []byte { return p[:60] }, "ends inside its header"},
		"nothing":                {func([]byte) []byte { return nil }, "ends inside its header"},
		"dirty and astray": {func(p []byte) []byte {
			p = snapshotOf(p)
			return put64(72, 1)(put64(int64(len(p))-cluster, 1<<40|copied)(p)) // the snapshot's L1 entry
		}, "lead nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			disktest.Refused(t, qcow2.Open, path, c.change(written(t, "v3")), c.want)
		})
	}
}

// snapshotOf appends a snapshot table whose one snapshot has the disk's own L1 table, copied, and appends that.
func snapshotOf(p []byte) []byte {
	p = append(p, make([]byte, -len(p)&(cluster-1))...)
	at := len(p)
	p = append(p, make([]byte, 2*cluster)...)
	copy(p[at+cluster:], p[l1At(p):][:8])
	put64(int64(at), uint64(at+cluster))(p)
	put32(at+8, 1)(p)
	return put64(64, uint64(at))(put32(60, 1)(p))
}

// cutOff has a snapshot table that goes on behind the end of the file.
func cutOff(p []byte) []byte {
	p = snapshotOf(p)
	return put32(int(get64(p, 64))+36, 1<<20)(p)
}

// TestFeatureName prints the name that an image has for a feature that this program does not know.
func TestFeatureName(t *testing.T) {
	img := put64(72, 1<<40)(written(t, "v3"))
	put32(112, 0x6803f857)(img)
	put32(116, 48)(img)
	img[120], img[121] = 0, 40
	copy(img[122:], "telepathy")
	files := disktest.NewRecorder()
	files.Put(path, img)
	if _, err := qcow2.Open(path, disk.OpenOptions{Files: files}); err == nil || !strings.Contains(err.Error(), `"telepathy"`) {
		t.Errorf("%v does not name the feature", err)
	}
}

// TestCorruptMark opens a disk that is marked as damaged for reading, and says so.
func TestCorruptMark(t *testing.T) {
	files := disktest.NewRecorder()
	files.Put(path, put64(72, 2)(written(t, "v3")))
	i, err := qcow2.Open(path, disk.OpenOptions{ReadOnly: true, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if info := i.Info(); !info.Unclean || len(info.Warnings) == 0 {
		t.Errorf("nothing is said about the damage: %+v", info)
	}
}

// compressed replaces the first cluster of an image by stream.
func compressed(p, stream []byte) []byte {
	at := int64(len(p))
	p = append(p, stream...)
	sectors := uint64((at+int64(len(stream))-1)/512 - at/512)
	return l2(0, packed|sectors<<(62-4)|uint64(at))(p)
}

// TestBombs reads clusters that expand to less and to very much more than a cluster, and garbage.
func TestBombs(t *testing.T) {
	deflate := func(n int) []byte {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, 9)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(make([]byte, n))
		w.Close()
		return b.Bytes()[:min(b.Len(), 2*cluster)]
	}
	zst := func(n int) []byte {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		p := w.EncodeAll(make([]byte, n), nil)
		return p[:min(len(p), 2*cluster)]
	}
	withZstd := func(p []byte) []byte { p[104] = 1; return put64(72, 8)(p) }
	// A frame that asks for a window of 2^41 bytes.
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x01, 0x00, 0x00}
	for name, c := range map[string]struct {
		img  []byte
		fits bool
	}{
		"deflate":        {compressed(written(t, "v3"), deflate(cluster)), true},
		"deflate short":  {compressed(written(t, "v3"), deflate(cluster-1)), false},
		"deflate bomb":   {compressed(written(t, "v3"), deflate(1<<30>>4)), true},
		"garbage":        {compressed(written(t, "v3"), bytes.Repeat([]byte{0xff}, 100)), false},
		"zstd":           {withZstd(compressed(written(t, "v3"), zst(cluster))), true},
		"zstd short":     {withZstd(compressed(written(t, "v3"), zst(cluster-1))), false},
		"zstd bomb":      {withZstd(compressed(written(t, "v3"), zst(1<<30>>4))), true},
		"zstd of window": {withZstd(compressed(written(t, "v3"), window)), false},
	} {
		t.Run(name, func(t *testing.T) {
			files := disktest.NewRecorder()
			files.Put(path, c.img)
			i, err := qcow2.Open(path, disk.OpenOptions{ReadOnly: true, Files: files})
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			got := bytes.Repeat([]byte{1}, cluster)
			_, err = i.ReadAt(got, 0)
			switch {
			case c.fits && (err != nil || !bytes.Equal(got, make([]byte, cluster))):
				t.Errorf("does not read as zeroes: %v", err)
			case !c.fits && !errors.Is(err, disk.ErrCorrupt):
				t.Errorf("%v, want ErrCorrupt", err)
			}
		})
	}
}

// TestParentNames refuses parents that are no files, and those outside.
func TestParentNames(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "disk.qcow2")
	for name, want := range map[string]error{
		"nbd://127.0.0.1/x": disk.ErrUnsupported, `json:{"driver":"raw"}`: disk.ErrUnsupported, "nbd:localhost:1": disk.ErrUnsupported,
		"../secret": disk.ErrOutside, "/etc/passwd": disk.ErrOutside, "file:/etc/passwd": disk.ErrOutside,
		"missing.qcow2": fs.ErrNotExist, "disk.qcow2": disk.ErrCorrupt,
	} {
		img := written(t, "v3")
		copy(img[200:], name)
		put32(16, uint32(len(name)))(put64(8, 200)(img))
		if err := os.WriteFile(p, img, 0o600); err != nil {
			t.Fatal(err)
		}
		i, err := qcow2.Open(p, disk.OpenOptions{ReadOnly: true})
		if err == nil {
			i.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
	}
}

// TestCheck finds what a check must.
func TestCheck(t *testing.T) {
	count := func(n int64, v byte) func([]byte) []byte {
		return func(p []byte) []byte { p[blockAt(p)+2*n+1] = v; return p }
	}
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   disk.Severity
	}{
		"clusters share a place": {func(p []byte) []byte { return l2(1, uint64(get64(p, l2At(p)+16))|copied)(p) }, disk.Damage},
		"cluster away":           {l2(0, 1<<40|copied), disk.Damage},
		"zero cluster away":      {l2(0, 1<<40|copied|1), disk.Damage},
		"compressed away":        {l2(0, 1<<45|packed), disk.Damage},
		"cluster is L1":          {atTable(l1At), disk.Damage},
		"L2 is L1":               {func(p []byte) []byte { return l1(0, uint64(l1At(p))|copied)(p) }, disk.Damage},
		"refcount 0":             {count(5, 0), disk.Repairable},
		"refcount 2":             {count(5, 2), disk.Repairable}, // the flag for writing in place contradicts it
		"flag missing":           {func(p []byte) []byte { return l2(1, uint64(get64(p, l2At(p)+8)))(p) }, disk.Repairable},
		"leak":                   {l2(1, 0), disk.Leak},
		"behind the end":         {count(50, 1), disk.Leak},
		"dirty":                  {put64(72, 1), disk.Repairable},
		"corrupt":                {put64(72, 2), disk.Repairable}, // nothing else is wrong
		"corrupt indeed":         {func(p []byte) []byte { return put64(72, 2)(l2(0, 1<<40|copied)(p)) }, disk.Damage},
		"refcounts 2^40 away":    {put64(cluster+8, 1<<40), disk.Repairable},
	} {
		files := disktest.NewRecorder()
		files.Put(path, c.change(written(t, "v3")))
		r, err := qcow2.Check(path, disk.OpenOptions{Files: files})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if worst, any := r.Worst(); !any || worst != c.want {
			t.Errorf("%s: %+v, want %v", name, r.Problems, c.want)
		}
	}
}

// TestCounts keeps refcounts of all widths beside each other.
func TestCounts(t *testing.T) {
	for order := range uint(7) {
		p := make([]byte, 64)
		most := uint64(math.MaxUint64)
		if order < 6 {
			most = 1<<(1<<order) - 1
		}
		n := int64(len(p) * 8 >> order)
		for k := range n {
			qcow2.PutCount(p, order, k, most-uint64(k)%min(most, 7))
		}
		for k := range n {
			if got, want := qcow2.GetCount(p, order, k), most-uint64(k)%min(most, 7); got != want {
				t.Fatalf("2^%d bits: refcount %d is %d, want %d", order, k, got, want)
			}
		}
	}
}

// TestTableMoves writes so much to a disk of small clusters, made with a refcount table for less, that the table must move.
func TestTableMoves(t *testing.T) {
	p := filepath.Join(disktest.Dir(t), "disk.qcow2")
	img := disktest.FindTool(t, "qemu-img", "qemu-utils")
	img.Run("create", "-q", "-f", "qcow2", "-o", "cluster_size=512", p, "64M")
	before, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	i, err := qcow2.Open(p, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 1<<20)
	for n := range int64(40) {
		for k := range data {
			data[k] = byte(n) + 1
		}
		if _, err := i.WriteAt(data, n<<20); err != nil {
			t.Fatal(err)
		}
		if n%7 == 0 {
			if err := i.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	if get64(before, 48) == get64(after, 48) {
		t.Error("the refcount table is where it was")
	}
	img.Run("check", "-q", "-f", "qcow2", p)
	if r, err := qcow2.Check(p, disk.OpenOptions{}); err != nil || len(r.Problems) > 0 {
		t.Errorf("check: %+v, %v", r, err)
	}
}

// TestBounds allocates a table per write until tables must be forgotten and read again, and until they must be written before anybody flushes.
func TestBounds(t *testing.T) {
	const size, step = 1280 << 20, 32 << 10
	p := filepath.Join(disktest.Dir(t), "disk.qcow2")
	if err := qcow2.Create(p, disk.CreateOptions{Size: size, BlockSize: 512}); err != nil {
		t.Fatal(err)
	}
	i, err := qcow2.Open(p, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var data, got [8]byte
	for off := int64(0); off < size; off += step {
		binary.LittleEndian.PutUint64(data[:], uint64(off)+1)
		if _, err := i.WriteAt(data[:], off+off/step%step/8*8); err != nil {
			t.Fatal(err)
		}
	}
	if pieces, unsaved := qcow2.InMemory(i); pieces > 16<<20 || unsaved > 8<<20 {
		t.Errorf("%d bytes of tables are in memory, %d of them unsaved", pieces, unsaved)
	}
	for off := int64(0); off < size; off += step {
		if _, err := i.ReadAt(got[:], off+off/step%step/8*8); err != nil || binary.LittleEndian.Uint64(got[:]) != uint64(off)+1 {
			t.Fatalf("at %d: not what was written (%v)", off, err)
		}
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := qcow2.Check(p, disk.OpenOptions{}); err != nil || len(r.Problems) > 0 {
		t.Errorf("check: %+v, %v", r, err)
	}
}
