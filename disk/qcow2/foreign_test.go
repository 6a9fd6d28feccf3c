package qcow2_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/qcow2"
)

// bench is a folder with an image that qemu made and what it holds.
type bench struct {
	t       *testing.T
	img, io disktest.Tool
	path    string
	want    []byte
}

const foreignSize = 6<<20 + 512

func newBench(t *testing.T) *bench {
	b := &bench{
		t: t, img: disktest.FindTool(t, "qemu-img", "qemu-utils"), io: disktest.FindTool(t, "qemu-io", "qemu-utils"),
		path: filepath.Join(disktest.Dir(t), "disk.qcow2"), want: make([]byte, foreignSize),
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for off := 0; off < len(b.want); off += 100 << 10 { // text that shrinks, noise that does not, and nothing
		p := b.want[off:min(len(b.want), off+100<<10)]
		switch rng.IntN(3) {
		case 0:
			copy(p, bytes.Repeat([]byte(fmt.Sprintf("line %d of many\n", off)), len(p)/10))
		case 1:
			for k := range p {
				p[k] = byte(rng.Uint32())
			}
		}
	}
	return b
}

// raw writes want to a raw file.
func (b *bench) raw(name string) string {
	b.t.Helper()
	path := filepath.Join(filepath.Dir(b.path), name)
	if err := os.WriteFile(path, b.want, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// convert makes the image from want.
func (b *bench) convert(args ...string) {
	b.t.Helper()
	b.img.Run(append(append([]string{"convert", "-q", "-f", "raw", "-O", "qcow2"}, args...), b.raw("made.raw"), b.path)...)
}

func (b *bench) open(o disk.OpenOptions) disk.Image {
	b.t.Helper()
	i, err := qcow2.Open(b.path, o)
	if err != nil {
		b.t.Fatal(err)
	}
	return i
}

// same expects an image to hold want.
func (b *bench) same(i disk.Image) {
	b.t.Helper()
	got := make([]byte, len(b.want))
	if _, err := i.ReadAt(got, 0); err != nil {
		b.t.Fatal(err)
	}
	if !bytes.Equal(got, b.want) {
		b.t.Fatal("the contents are not as they should be")
	}
}

// write changes pieces of all sizes, in place and in want.
func (b *bench) write(i disk.Image) {
	b.t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	for n := range 25 {
		off := rng.IntN(len(b.want) - 1)
		p := b.want[off:min(len(b.want), off+1+rng.IntN(200<<10))]
		for k := range p {
			p[k] = byte(n + k)
		}
		if _, err := i.WriteAt(p, int64(off)); err != nil {
			b.t.Fatal(err)
		}
		if n%10 == 0 {
			if err := i.Flush(); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	if err := i.WriteZeroes(1<<20+5, 300<<10, true); err != nil {
		b.t.Fatal(err)
	}
	clear(b.want[1<<20+5:][:300<<10])
	b.same(i)
}

// judge has qemu and Check look at the image.
func (b *bench) judge() {
	b.t.Helper()
	r, err := qcow2.Check(b.path, disk.OpenOptions{})
	if err != nil || len(r.Problems) > 0 {
		b.t.Fatalf("check: %+v, %v", r, err)
	}
	b.img.Run("check", "-q", "-f", "qcow2", b.path)
	b.img.Run("compare", "-q", "-f", "qcow2", "-F", "raw", b.path, b.raw("want.raw"))
}

// readAndWrite has us read what qemu wrote, change it, and qemu read that.
func (b *bench) readAndWrite() {
	b.t.Helper()
	i := b.open(disk.OpenOptions{ReadOnly: true})
	b.same(i)
	if err := i.Close(); err != nil {
		b.t.Fatal(err)
	}
	i = b.open(disk.OpenOptions{})
	b.write(i)
	if err := i.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.judge()
}

// TestCompressed reads compressed clusters, and replaces some: what they took is free afterwards.
func TestCompressed(t *testing.T) {
	for _, kind := range []string{"zlib", "zstd"} {
		for _, cluster := range []string{"512", "64k", "2M"} {
			t.Run(kind+" "+cluster, func(t *testing.T) {
				b := newBench(t)
				b.convert("-c", "-o", "compression_type="+kind+",cluster_size="+cluster)
				b.readAndWrite()
			})
		}
	}
}

// TestRefcounts honours refcounts of all widths.
func TestRefcounts(t *testing.T) {
	for _, width := range []int{1, 2, 4, 8, 32, 64} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			b := newBench(t)
			b.convert("-o", fmt.Sprintf("refcount_bits=%d,cluster_size=4k", width))
			b.readAndWrite()
		})
	}
}

// TestPreallocated reads and writes clusters that have a place but were never written.
func TestPreallocated(t *testing.T) {
	for _, how := range []string{"metadata", "falloc"} {
		b := newBench(t)
		b.convert("-o", "preallocation="+how)
		b.readAndWrite()
	}
}

// TestSnapshot writes to a disk with an internal snapshot, which must stay as it was.
func TestSnapshot(t *testing.T) {
	for _, args := range [][]string{{"-o", "cluster_size=4k"}, {"-o", "cluster_size=64k"}, {"-c"}} {
		b := newBench(t)
		b.convert(args...)
		before := bytes.Clone(b.want)
		b.img.Run("snapshot", "-c", "first", b.path)
		b.readAndWrite()
		if i := b.open(disk.OpenOptions{ReadOnly: true}); len(i.Info().Warnings) == 0 {
			t.Error("nothing is said about the snapshot")
		} else {
			i.Close()
		}
		b.img.Run("snapshot", "-a", "first", b.path)
		b.want = before
		b.judge()
		b.readAndWrite()
		b.img.Run("snapshot", "-d", "first", b.path)
		b.judge()
		b.readAndWrite()
	}
}

// TestZeroClusters reads clusters that qemu marked as zeroes, some of which keep a place, and writes to them.
func TestZeroClusters(t *testing.T) {
	b := newBench(t)
	b.convert("-o", "cluster_size=64k")
	b.io.Run("-f", "qcow2", "-c", "write -z 64k 640k", "-c", "write -z -u 2M 256k", b.path)
	clear(b.want[64<<10:][:640<<10])
	clear(b.want[2<<20:][:256<<10])
	b.readAndWrite()
}

// TestDirty opens an image whose refcounts qemu had not written when it died.
func TestDirty(t *testing.T) {
	b := newBench(t)
	b.convert("-o", "lazy_refcounts=on")
	if out, code := b.io.Try("-f", "qcow2", "-c", "write -P 7 0 2M", "-c", "flush", "-c", "abort", b.path); code == 0 {
		t.Fatalf("qemu-io did not die:\n%s", out)
	}
	copy(b.want, bytes.Repeat([]byte{7}, 2<<20))
	r, err := qcow2.Check(b.path, disk.OpenOptions{})
	if worst, _ := r.Worst(); err != nil || worst != disk.Repairable {
		t.Fatalf("check before: %+v, %v", r, err)
	}
	i := b.open(disk.OpenOptions{})
	if !i.Info().Unclean {
		t.Error("nothing is said about the writer that died")
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	b.judge()
	b.readAndWrite()
}

// TestBitmaps disowns the bitmaps of changed blocks that qemu keeps, and only when the disk is changed.
func TestBitmaps(t *testing.T) {
	b := newBench(t)
	b.convert()
	b.img.Run("bitmap", "--add", b.path, "b0")
	b.judge()
	before, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.open(disk.OpenOptions{}).Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(b.path); err != nil || !bytes.Equal(before, after) {
		t.Fatalf("opening for writing changed the file: %v", err)
	}
	i := b.open(disk.OpenOptions{})
	b.write(i)
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	if flags := binary.BigEndian.Uint64(after[88:]); flags != 0 {
		t.Errorf("autoclear flags %#x after a write", flags)
	}
	if !bytes.Equal(after[104:512], before[104:512]) {
		t.Error("the header's extensions have changed")
	}
	b.img.Run("compare", "-q", "-f", "qcow2", "-F", "raw", b.path, b.raw("want.raw"))
}

// TestBacking reads and writes chains that qemu made, and has qemu read those that we made.
func TestBacking(t *testing.T) {
	b := newBench(t)
	b.convert()
	base := filepath.Join(filepath.Dir(b.path), "base.qcow2")
	if err := os.Rename(b.path, base); err != nil {
		t.Fatal(err)
	}
	b.img.Run("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", b.path)
	b.readAndWrite()

	child := filepath.Join(filepath.Dir(b.path), "child.qcow2")
	if err := qcow2.Create(child, disk.CreateOptions{Parent: b.path}); err != nil {
		t.Fatal(err)
	}
	b.path = child
	b.readAndWrite()
	i := b.open(disk.OpenOptions{ReadOnly: true})
	defer i.Close()
	deepest := 0
	if err := i.Extents(0, i.Size(), func(e disk.Extent) bool { deepest = max(deepest, e.Depth); return true }); err != nil || deepest != 2 {
		t.Errorf("extents reach to depth %d, want 2: %v", deepest, err)
	}
}

// TestRefused has qemu make what is not supported.
func TestRefused(t *testing.T) {
	for name, options := range map[string]string{
		"encrypted":     "encrypt.format=aes,encrypt.key-secret=s",
		"subclusters":   "extended_l2=on",
		"external data": "data_file=data.raw",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			t.Chdir(filepath.Dir(b.path))
			b.img.Run("create", "-q", "--object", "secret,id=s,data=x", "-f", "qcow2", "-o", options, b.path, "4M")
			i, err := qcow2.Open(b.path, disk.OpenOptions{ReadOnly: true})
			if err == nil {
				i.Close()
			}
			if !errors.Is(err, disk.ErrUnsupported) {
				t.Errorf("%v, want ErrUnsupported", err)
			}
			t.Log(err)
		})
	}
}
