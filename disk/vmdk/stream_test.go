package vmdk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vmdk"
)

// streamed returns a streamOptimized disk of 96 MiB in three grain tables, written once from start to end, and its contents.
func streamed(t testing.TB) (img, want []byte) {
	t.Helper()
	files := disktest.NewRecorder()
	if err := vmdk.Create(path, disk.CreateOptions{Size: 96 << 20, Variant: "streamOptimized", Files: files}); err != nil {
		t.Fatal(err)
	}
	i, err := vmdk.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	want = make([]byte, 96<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, at := range []int{0, 1 << 20, 31<<20 + 100, 33 << 20, 90 << 20} {
		for k := range 150000 {
			want[at+k] = byte(rng.IntN(5))
		}
	}
	for off := 0; off < len(want); off += 1 << 20 {
		if _, err := i.WriteAt(want[off:off+1<<20], int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	return files.Get(path), want
}

// TestStreamLayout walks through a stream as a reader without seeking does.
func TestStreamLayout(t *testing.T) {
	img, _ := streamed(t)
	le := binary.LittleEndian
	if string(img[:4]) != "KDMV" || le.Uint32(img[4:]) != 3 || le.Uint64(img[56:]) != 1<<64-1 || img[72] != 0 || le.Uint16(img[77:]) != 1 {
		t.Errorf("header % x", img[:80])
	}
	var kinds strings.Builder
	next := uint64(0)
	for at := int(le.Uint64(img[64:])) * 512; ; {
		number, size, what := le.Uint64(img[at:]), int(le.Uint32(img[at+8:])), le.Uint32(img[at+12:])
		if size > 0 {
			if number < next || number%128 != 0 {
				t.Fatalf("at byte %d: grain at sector %d of the disk after one before %d", at, number, next)
			}
			next = number + 128
			at += (12 + size + 511) / 512 * 512
			if !strings.HasSuffix(kinds.String(), "g") {
				kinds.WriteByte('g')
			}
			continue
		}
		kinds.WriteByte("ETDF"[what])
		at += 512 * int(1+number)
		if what == 0 {
			if at != len(img) {
				t.Errorf("the end marker is at byte %d of %d", at-512, len(img))
			}
			break
		}
	}
	if kinds.String() != "gTgTgTDFE" {
		t.Errorf("records in the order %s", kinds.String())
	}
}

// TestLostFooter cuts a stream off at its end and in its grains.
func TestLostFooter(t *testing.T) {
	img, want := streamed(t)
	for name, c := range map[string]struct {
		size  int
		whole int // how much must read as before
		worst disk.Severity
	}{
		"end marker": {len(img) - 512, len(want), disk.Repairable}, "footer": {len(img) - 1536, len(want), disk.Repairable},
		"directory": {len(img) - 2048, len(want), disk.Repairable}, "half": {len(img) / 2, 2 << 20, disk.Damage},
		"last table": {len(img) - 3072, len(want), disk.Damage}, "unclean": {len(img) - 1536, len(want), disk.Repairable},
	} {
		t.Run(name, func(t *testing.T) {
			files := disktest.NewRecorder()
			files.Put(path, img[:c.size])
			if name == "unclean" { // as another program may leave it
				files.Put(path, append(append(bytes.Clone(img[:72]), 1), img[73:c.size]...))
			}
			if i, err := vmdk.Open(path, disk.OpenOptions{Files: files}); !errors.Is(err, disk.ErrCorrupt) || !strings.Contains(err.Error(), "read-only") {
				if err == nil {
					i.Close()
				}
				t.Errorf("opened for writing: %v", err)
			}
			i, err := vmdk.Open(path, disk.OpenOptions{ReadOnly: true, Files: files})
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			if info := i.Info(); !info.Unclean || len(info.Warnings) == 0 {
				t.Errorf("nothing is said about the loss: %+v", info)
			}
			got := make([]byte, c.whole)
			if _, err := i.ReadAt(got, 0); err != nil || !bytes.Equal(got, want[:c.whole]) {
				t.Errorf("not what was written: %v", err)
			}
			r, err := vmdk.Check(path, disk.OpenOptions{Files: files})
			if err != nil {
				t.Fatal(err)
			}
			if worst, _ := r.Worst(); worst != c.worst {
				t.Errorf("check: %+v", r)
			}
			i.Close()
			cut := files.Get(path)
			if err := vmdk.Repair(path, disk.OpenOptions{Files: files}); c.worst == disk.Repairable && err != nil {
				t.Fatal(err)
			} else if c.worst == disk.Damage {
				if !bytes.Equal(files.Get(path), cut) {
					t.Error("a repair touched what is damaged")
				}
				return
			}
			if !bytes.Equal(files.Get(path), img) {
				t.Error("the repaired file is not what it was before it was cut off")
			}
		})
	}
}

// TestStaleFooter has the first grains of a stream overwrite its empty directory, and the power fail before they are flushed: the footer that
// is still there leads to what is none any more.
func TestStaleFooter(t *testing.T) {
	files := disktest.NewRecorder()
	if err := vmdk.Create(path, disk.CreateOptions{Size: 1 << 20, Variant: "streamOptimized", Files: files}); err != nil {
		t.Fatal(err)
	}
	before := files.Get(path)
	i, err := vmdk.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 64<<10)
	for k := range p {
		p[k] = byte(rand.IntN(256))
	}
	if _, err := i.WriteAt(p, 0); err != nil {
		t.Fatal(err)
	}
	during := files.Get(path)
	directory := len(before) - 4*512
	img := bytes.Clone(before)
	copy(img, during[:512])
	copy(img[directory:directory+512], during[directory:])
	files.Put(path, img)
	if i, err = vmdk.Open(path, disk.OpenOptions{Files: files}); err != nil {
		t.Fatal(err)
	}
	if _, err := i.ReadAt(p, 0); err != nil || !bytes.Equal(p, make([]byte, len(p))) {
		t.Errorf("what was never flushed is not gone: %v", err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := vmdk.Check(path, disk.OpenOptions{Files: files}); err != nil || len(r.Problems) > 0 {
		t.Errorf("recovered: %+v, %v", r, err)
	}
}

// TestStreamWaste rewrites a grain many times: the file grows, and Check says by how much.
func TestStreamWaste(t *testing.T) {
	img, want := streamed(t)
	files := disktest.NewRecorder()
	files.Put(path, img)
	for n := range byte(5) {
		i, err := vmdk.Open(path, disk.OpenOptions{Files: files})
		if err != nil {
			t.Fatal(err)
		}
		want[70000] = n
		if _, err := i.WriteAt(want[70000:70001], 70000); err != nil {
			t.Fatal(err)
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := vmdk.Check(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	grown := int64(len(files.Get(path)) - len(img))
	if len(r.Problems) > 0 || r.Leaked < grown-4096 || r.Leaked > grown+40000 || grown == 0 {
		t.Errorf("the file grew by %d bytes, Check counts %d: %+v", grown, r.Leaked, r.Problems)
	}
	i, err := vmdk.Open(path, disk.OpenOptions{ReadOnly: true, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	got := make([]byte, len(want))
	if _, err := i.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("not what was written: %v", err)
	}
}

// firstGrain is where the records of a stream of ours start.
const firstGrain = 128 * 512

// packed is data as a grain's record stores it.
func packed(data []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// TestHostileStream damages the record of a stream's first grain and expects one clear error.
func TestHostileStream(t *testing.T) {
	sound, _ := streamed(t)
	record := func(p []byte, data []byte) {
		put32(p[firstGrain+8:], uint32(len(data)))
		copy(p[firstGrain+12:], data)
	}
	for name, c := range map[string]struct {
		change func(p []byte)
		want   string
	}{
		"other grain":    {func(p []byte) { put64(p[firstGrain:], 128) }, "says that it is sector 128"},
		"no data":        {func(p []byte) { put32(p[firstGrain+8:], 0) }, "0 bytes is impossible"},
		"size 2^32":      {func(p []byte) { put32(p[firstGrain+8:], 1<<32-1) }, "is impossible"},
		"not deflate":    {func(p []byte) { clear(p[firstGrain+12 : firstGrain+14]) }, "is damaged"},
		"flipped":        {func(p []byte) { p[firstGrain+500] ^= 0x55 }, "is damaged"},
		"bomb":           {func(p []byte) { record(p, packed(make([]byte, 8<<20))) }, "longer than a grain"},
		"too short":      {func(p []byte) { record(p, packed(make([]byte, 1000))) }, "is damaged"},
		"wrong checksum": {func(p []byte) { z := packed(make([]byte, 64<<10)); z[len(z)-1]++; record(p, z) }, "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			files := disktest.NewRecorder()
			img := bytes.Clone(sound)
			c.change(img)
			files.Put(path, img)
			i, err := vmdk.Open(path, disk.OpenOptions{ReadOnly: true, Files: files})
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			for _, n := range []int64{10, 64 << 10, 1 << 20} {
				_, err := i.ReadAt(make([]byte, n), 0)
				if !errors.Is(err, disk.ErrCorrupt) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("read %d bytes: %v", n, err)
				}
			}
			if _, err := i.ReadAt(make([]byte, 10), 1<<20); err != nil {
				t.Errorf("a sound grain: %v", err)
			}
		})
	}
}

// BenchmarkStreamWrite writes data that shrinks to about half from start to end.
func BenchmarkStreamWrite(b *testing.B) {
	const size = 64 << 20
	data := make([]byte, size)
	rng := rand.New(rand.NewPCG(1, 2))
	for k := range data {
		data[k] = byte(rng.IntN(16))
	}
	b.SetBytes(size)
	for b.Loop() {
		p := disktest.Dir(b) + "/disk.vmdk"
		if err := vmdk.Create(p, disk.CreateOptions{Size: size, Variant: "streamOptimized"}); err != nil {
			b.Fatal(err)
		}
		i, err := vmdk.Open(p, disk.OpenOptions{})
		if err != nil {
			b.Fatal(err)
		}
		for off := int64(0); off < size; off += 1 << 20 {
			if _, err := i.WriteAt(data[off:off+1<<20], off); err != nil {
				b.Fatal(err)
			}
		}
		if err := i.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStreamRead4K reads random blocks of 4 KiB of a stream larger than what is kept inflated.
func BenchmarkStreamRead4K(b *testing.B) {
	img, want := streamed(b)
	files := disktest.NewRecorder()
	files.Put(path, img)
	i, err := vmdk.Open(path, disk.OpenOptions{ReadOnly: true, Files: files})
	if err != nil {
		b.Fatal(err)
	}
	defer i.Close()
	rng := rand.New(rand.NewPCG(3, 2))
	p := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.ReadAt(p, rng.Int64N(int64(len(want))/4096)*4096); err != nil && err != io.EOF {
			b.Fatal(err)
		}
	}
}
