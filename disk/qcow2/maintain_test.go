package qcow2_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/qcow2"
	"github.com/sharevm/vmm/disk/raw"
)

// close closes an image, or fails the test.
func (b *bench) close(i disk.Image) {
	b.t.Helper()
	if err := i.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// resize resizes the image and want, and puts something at its end.
func (b *bench) resize(size int64) {
	b.t.Helper()
	i := b.open(disk.OpenOptions{})
	if err := i.(disk.Resizer).Resize(size); err != nil {
		b.t.Fatal(err)
	}
	b.want = append(b.want[:min(size, int64(len(b.want)))], make([]byte, max(0, size-int64(len(b.want))))...)
	b.same(i)
	copy(b.want[size-100:], bytes.Repeat([]byte{0x77}, 100))
	if _, err := i.WriteAt(b.want[size-100:], size-100); err != nil {
		b.t.Fatal(err)
	}
	b.close(i)
	b.judge()
}

// TestResizeForeign resizes what qemu made, has qemu resize that, and so on.
func TestResizeForeign(t *testing.T) {
	for _, options := range []string{"cluster_size=512", "cluster_size=64k", "compat=0.10", "cluster_size=64k -c", "cluster_size=4k,preallocation=metadata"} {
		t.Run(options, func(t *testing.T) {
			b := newBench(t)
			b.convert(append([]string{"-o"}, strings.Fields(options)...)...)
			for _, size := range []int64{9<<20 + 512, 37 << 20, 3<<20 + 512} {
				b.resize(size)
			}
			b.img.Run("resize", "-q", "-f", "qcow2", b.path, "11M")
			b.want = append(b.want, make([]byte, 11<<20-len(b.want))...)
			b.judge()
			b.resize(12 << 20)
			b.img.Run("resize", "-q", "--shrink", "-f", "qcow2", b.path, "2M")
			b.want = b.want[:2<<20]
			b.judge()
			b.resize(7 << 20)
			b.readAndWrite()
		})
	}
}

// TestResizeAbove grows a disk above a larger parent, which must not shine through.
func TestResizeAbove(t *testing.T) {
	for _, compat := range []string{"0.10", "1.1"} {
		b := newBench(t)
		b.convert()
		base := filepath.Join(filepath.Dir(b.path), "base.qcow2")
		if err := os.Rename(b.path, base); err != nil {
			t.Fatal(err)
		}
		const small = 1<<20 + 512
		b.img.Run("create", "-q", "-f", "qcow2", "-o", "compat="+compat, "-b", "base.qcow2", "-F", "qcow2", b.path, fmt.Sprint(small))
		b.want = b.want[:small]
		b.resize(4 << 20)
		b.resize(8 << 20)
		b.readAndWrite()
	}
}

// TestSnapshotsRefuse has images with internal snapshots, and with compressed clusters, say why they cannot be changed as a whole.
func TestSnapshotsRefuse(t *testing.T) {
	b := newBench(t)
	b.convert("-c")
	i := b.open(disk.OpenOptions{})
	if _, err := i.(disk.Arrangeable).Arenas(); !errors.Is(err, disk.ErrUnsupported) || !strings.Contains(err.Error(), "compressed") {
		t.Errorf("arenas of a compressed disk: %v", err)
	}
	b.close(i)
	b.img.Run("snapshot", "-c", "s", b.path)
	i = b.open(disk.OpenOptions{})
	if err := i.(disk.Resizer).Resize(8 << 20); !errors.Is(err, disk.ErrUnsupported) || !strings.Contains(err.Error(), "snapshots") {
		t.Errorf("resize: %v", err)
	}
	if _, err := i.(disk.Arrangeable).Arenas(); !errors.Is(err, disk.ErrUnsupported) || !strings.Contains(err.Error(), "snapshots") {
		t.Errorf("arenas: %v", err)
	}
	b.close(i)
	b.judge()
}

// backing asks qemu-img for the parent's name and format.
func (b *bench) backing() (name, format string) {
	b.t.Helper()
	var info struct {
		Name   string `json:"backing-filename"`
		Format string `json:"backing-filename-format"`
	}
	if err := json.Unmarshal([]byte(b.img.Run("info", "--output=json", b.path)), &info); err != nil {
		b.t.Fatal(err)
	}
	return info.Name, info.Format
}

// openParent opens raw and qcow2 images by their names.
func openParent(path string, o disk.OpenOptions) (disk.Image, error) {
	if filepath.Ext(path) == ".raw" {
		return disktest.Opener(raw.Open)(path, o)
	}
	return disktest.Opener(qcow2.Open)(path, o)
}

// TestRelinkForeign gives an image of qemu's, of all header layouts, one parent after the other, with names short and long.
func TestRelinkForeign(t *testing.T) {
	for _, options := range []string{"compat=0.10", "compat=1.1", "cluster_size=4k", "cluster_size=2M"} {
		b := newBench(t)
		dir := filepath.Dir(b.path)
		b.raw("base.raw")
		b.img.Run("create", "-q", "-f", "qcow2", "-o", options, "-b", "base.raw", "-F", "raw", b.path)
		long := strings.Repeat("long", 50)
		if err := os.MkdirAll(filepath.Join(dir, long, long), 0o700); err != nil {
			t.Fatal(err)
		}
		names := []string{"", "a.qcow2", "base.raw", filepath.Join(long, "b.qcow2"), filepath.Join(long, long, "c.raw"), "a.qcow2", "", "x:y.qcow2", filepath.Join(long, "b.qcow2"), "base.raw"}
		for _, name := range names {
			if strings.HasSuffix(name, ".qcow2") {
				b.img.Run("convert", "-q", "-f", "raw", "-O", "qcow2", b.raw("base.raw"), filepath.Join(dir, "made"))
				if err := os.Rename(filepath.Join(dir, "made"), filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			} else if name != "" {
				b.raw(name)
			}
			i := b.open(disk.OpenOptions{Alone: true, Parents: openParent})
			path := name
			if name != "" {
				path = filepath.Join(dir, name)
			}
			if err := i.(disk.Relinker).Relink(path, ""); err != nil {
				t.Fatalf("%s, %q: %v", options, name, err)
			}
			b.close(i)
			got, format := b.backing()
			if strings.TrimPrefix(got, "./") != name || strings.TrimPrefix(filepath.Ext(name), ".") != format {
				t.Errorf("%s: qemu-img says %q of format %q, want %q", options, got, format, name)
			}
			b.img.Run("check", "-q", "-f", "qcow2", b.path)
			if name != "" {
				b.judge()
			}
		}
	}
}

// TestArrangeForeign reverses the order of the clusters of what qemu made, and drops some.
func TestArrangeForeign(t *testing.T) {
	for _, options := range []string{"cluster_size=512", "cluster_size=16k", "compat=0.10,cluster_size=4k", "cluster_size=64k,preallocation=metadata", "refcount_bits=1,cluster_size=4k"} {
		t.Run(options, func(t *testing.T) {
			b := newBench(t)
			b.convert("-o", options)
			b.io.Run("-f", "qcow2", "-c", "discard 1M 512k", "-c", "write -P 3 1200k 8k", b.path)
			clear(b.want[1<<20:][:512<<10])
			copy(b.want[1200<<10:], bytes.Repeat([]byte{3}, 8<<10))
			i := b.open(disk.OpenOptions{})
			arenas, err := i.(disk.Arrangeable).Arenas()
			if err != nil {
				t.Fatal(err)
			}
			a := arenas[0]
			slot := a.Slots()
			rng := rand.New(rand.NewPCG(1, 2))
			for block := a.Blocks() - 1; block >= 0; block-- {
				switch {
				case a.Slot(block) < 0:
					continue
				case rng.IntN(10) == 0:
					err = a.Drop(block)
					clear(b.want[block*a.BlockSize() : min(int64(len(b.want)), (block+1)*a.BlockSize())])
				default:
					err = a.Move(block, slot)
					slot++
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			for _, step := range []func() error{a.Flush, a.Trim} {
				if err := step(); err != nil {
					t.Fatal(err)
				}
				b.same(i)
			}
			next := int64(0)
			for block := range a.Blocks() { // into the room that is free now at the start
				if a.Slot(block) >= 0 {
					if err := a.Move(block, next); err != nil {
						t.Fatal(err)
					}
					next++
				}
			}
			if err := errors.Join(a.Flush(), a.Trim()); err != nil {
				t.Fatal(err)
			}
			if a.Slots() > next {
				t.Errorf("%d slots are left for %d blocks", a.Slots(), next)
			}
			b.close(i)
			b.judge()
			b.readAndWrite()
		})
	}
}

// TestRepairForeign repairs what qemu calls errors and leaks, to qemu's satisfaction.
func TestRepairForeign(t *testing.T) {
	repair := func(b *bench) {
		b.t.Helper()
		if out, code := b.img.Try("check", "-q", "-f", "qcow2", b.path); code == 0 {
			b.t.Fatalf("nothing is wrong:\n%s", out)
		}
		if err := qcow2.Repair(b.path, disk.OpenOptions{}); err != nil {
			b.t.Fatal(err)
		}
		b.judge()
		b.readAndWrite()
	}
	for _, options := range []string{"cluster_size=4k", "compat=0.10,cluster_size=512", "refcount_bits=64"} {
		t.Run("garbage "+options, func(t *testing.T) {
			b := newBench(t)
			b.convert("-o", options)
			p, err := os.ReadFile(b.path)
			if err != nil {
				t.Fatal(err)
			}
			at := blockAt(p)
			for k := range 300 {
				p[at+int64(k)] ^= byte(k % 3)
			}
			if err := os.WriteFile(b.path, p, 0o600); err != nil {
				t.Fatal(err)
			}
			repair(b)
		})
	}
	t.Run("snapshot", func(t *testing.T) {
		b := newBench(t)
		b.convert("-o", "cluster_size=4k")
		b.img.Run("snapshot", "-c", "s", b.path)
		b.io.Run("-f", "qcow2", "-c", "write -P 9 0 1M", b.path)
		copy(b.want, bytes.Repeat([]byte{9}, 1<<20))
		p, err := os.ReadFile(b.path)
		if err != nil {
			t.Fatal(err)
		}
		clear(p[blockAt(p):][:1000])
		p[l1At(p)] ^= 0x80
		if err := os.WriteFile(b.path, p, 0o600); err != nil {
			t.Fatal(err)
		}
		repair(b)
	})
	t.Run("lazy refcounts", func(t *testing.T) {
		b := newBench(t)
		b.convert("-o", "lazy_refcounts=on")
		b.io.Try("-f", "qcow2", "-c", "write -P 7 0 2M", "-c", "flush", "-c", "abort", b.path)
		copy(b.want, bytes.Repeat([]byte{7}, 2<<20))
		repair(b)
	})
	t.Run("bitmaps disowned", func(t *testing.T) {
		b := newBench(t)
		b.convert()
		b.img.Run("bitmap", "--add", b.path, "b0")
		i := b.open(disk.OpenOptions{})
		b.write(i)
		b.close(i)
		repair(b)
	})
}
