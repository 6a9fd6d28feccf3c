package tools_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/guest/partition"
	"github.com/sharevm/vmm/disk/tools"
)

// to is a size for Resize.
func to(size int64) func(int64) (int64, error) {
	return func(int64) (int64, error) { return size, nil }
}

// partitioned is a disk with a GPT of one partition, which holds noise.
func partitioned(size int, first, last int64) []byte {
	le, p := binary.LittleEndian, make([]byte, size)
	end := int64(size)/512 - 1
	p[510], p[511] = 0x55, 0xaa
	p[446+4] = 0xee // the protective MBR
	le.PutUint32(p[446+8:], 1)
	le.PutUint32(p[446+12:], uint32(end))
	array := make([]byte, 128*128)
	copy(array, "\xa2\xa0\xd0\xeb\xe5\xb9\x33\x44\x87\xc0\x68\xb6\xb7\x26\x99\xc7") // basic data
	copy(array[16:], "one of a kind !!")
	le.PutUint64(array[32:], uint64(first))
	le.PutUint64(array[40:], uint64(last))
	header := func(my, other, arrayAt int64) {
		h := p[my*512 : my*512+92]
		copy(h, "EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00")
		le.PutUint64(h[24:], uint64(my))
		le.PutUint64(h[32:], uint64(other))
		le.PutUint64(h[40:], 34)
		le.PutUint64(h[48:], uint64(end-33))
		copy(h[56:], "a disk's own id.")
		le.PutUint64(h[72:], uint64(arrayAt))
		le.PutUint32(h[80:], 128)
		le.PutUint32(h[84:], 128)
		le.PutUint32(h[88:], crc32.ChecksumIEEE(array))
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
		copy(p[arrayAt*512:], array)
	}
	header(1, end, 2)
	header(end, 1, end-32)
	copy(p[first*512:(last+1)*512], mixed(int(last+1-first)*512, 9))
	return p
}

// table reads the partition table of an image and expects nothing odd about it.
func table(t testing.TB, path string) *partition.Table {
	t.Helper()
	i := open(t, path)
	defer i.Close()
	tab, err := partition.Read(t.Context(), i, i.Size(), 0)
	must(t, err)
	if len(tab.Notes) > 0 || tab.Scheme != partition.GPT || tab.Alternate != i.Size() {
		t.Errorf("%d bytes, partition table %+v", i.Size(), tab)
	}
	return tab
}

func TestResize(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		if compresses(k) {
			t.Skip("its blocks lie one behind the other, compressed")
		}
		d := dir(t)
		content := partitioned(6*mib, 2048, 6143)
		path := image(t, in(d, k.file), content, k.o)
		before := files(t, d)
		dry, err := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: to(20*mib + 300), DryRun: true})
		must(t, err)
		stillAs(t, d, before)
		r, err := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: to(20*mib + 300)})
		must(t, err)
		if r.Before != 6*mib || r.After != 20*mib+512 || !r.MovedGPT || len(r.Advice) == 0 || dry.After != r.After || !dry.MovedGPT {
			t.Errorf("%+v; announced %+v", r, dry)
		}
		spotless(t, path)
		table(t, path)
		got := contentOf(t, path)
		if !bytes.Equal(got[2048*512:6*mib-33*512], content[2048*512:6*mib-33*512]) || len(bytes.Trim(got[6*mib-33*512:20*mib-33*512], "\x00")) > 0 {
			t.Error("the content is not what it was, with zeroes behind")
		}
		for size, want := range map[int64]string{3*mib + 32*512: "partition 1 (", mib: "partition 1 (", 0: "partition 1 ("} {
			if _, err := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: to(size)}); !errors.Is(err, tools.ErrInTheWay) || !strings.Contains(err.Error(), want) {
				t.Errorf("to %d: %v", size, err)
			}
		}
		write(t, path, []byte("in between"), 5*mib)
		if _, err := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: to(4 * mib)}); !errors.Is(err, tools.ErrInTheWay) || !strings.Contains(err.Error(), "byte 5242880") {
			t.Errorf("data in the way: %v", err)
		}
		if _, err := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: to(6 * mib)}); err != nil {
			t.Fatal(err)
		}
		copy(content[5*mib:], "in between")
		copy(content[446:462], contentOf(t, path)[446:]) // the protective MBR was written anew
		hold(t, path, content)
		table(t, path)
	})
}

func contentOf(t testing.TB, path string) []byte { return content(t, path, disk.OpenOptions{}) }

func TestResizePlain(t *testing.T) {
	d := dir(t)
	path := image(t, in(d, "a.vhdx"), append(mixed(2*mib, 8), make([]byte, 4*mib)...), disk.CreateOptions{})
	want := contentOf(t, path)
	for _, size := range []int64{8 * mib, 3 * mib, 2 * mib} {
		_, err := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: to(size)})
		must(t, err)
		hold(t, path, append(want[:2*mib:2*mib], make([]byte, size-2*mib)...))
	}
	if _, err := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: to(2*mib - 512)}); !errors.Is(err, tools.ErrInTheWay) {
		t.Errorf("data at the end: %v", err)
	}
	failed := errors.New("no")
	for _, f := range []func(int64) (int64, error){to(-512), to(1<<62 + 1), func(int64) (int64, error) { return 0, failed }} {
		if _, err := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: f}); err == nil {
			t.Error("a size that cannot be was taken")
		}
	}
	hold(t, path, want[:2*mib])
}

// TestResizeDamaged has a partition table that nobody can trust.
func TestResizeDamaged(t *testing.T) {
	content := partitioned(6*mib, 2048, 6143)
	content[512+20] ^= 1
	content[len(content)-512+20] ^= 1
	path := image(t, in(dir(t), "a.vmdk"), content, disk.CreateOptions{})
	if _, err := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: to(5 * mib)}); !errors.Is(err, tools.ErrInTheWay) {
		t.Errorf("shrink: %v", err)
	}
	r, err := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: to(7 * mib)})
	must(t, err)
	if r.MovedGPT || len(r.Warnings) == 0 {
		t.Errorf("%+v", r)
	}
	hold(t, path, append(content, make([]byte, mib)...))
}

// TestResizeInterrupted stops between the new size and the move of the table, which the next call does.
func TestResizeInterrupted(t *testing.T) {
	content := partitioned(6*mib, 2048, 6143)
	path := image(t, in(dir(t), "a.qcow2"), content, disk.CreateOptions{})
	w, err := openWrite(path)
	must(t, err)
	must(t, w.(disk.Resizer).Resize(9*mib))
	must(t, w.Close())
	r, err := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: to(9 * mib)})
	must(t, err)
	if !r.MovedGPT {
		t.Errorf("%+v", r)
	}
	table(t, path)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tools.Resize(ctx, path, tools.ResizeOptions{Size: to(4 * mib)}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if n := len(contentOf(t, path)); n != 9*mib {
		t.Errorf("canceled, and yet of %d bytes", n)
	}
}

// TestResizeWhole has a file system without a partition table, which believes in the disk's size.
func TestResizeWhole(t *testing.T) {
	mke2fs := disktest.FindTool(t, "mke2fs", "e2fsprogs")
	d := dir(t)
	path := image(t, in(d, "a.raw"), make([]byte, 8*mib), disk.CreateOptions{})
	mke2fs.Run("-q", "-F", "-t", "ext4", path)
	if _, err := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: to(7 * mib)}); !errors.Is(err, tools.ErrInTheWay) || !strings.Contains(err.Error(), "ext4") {
		t.Errorf("%v", err)
	}
	r, err := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: to(9 * mib)})
	must(t, err)
	if len(r.Advice) != 1 || !strings.Contains(r.Advice[0], "by resize2fs") {
		t.Errorf("%+v", r)
	}
}

// TestResizeCrash cuts the power while a disk with a GPT grows and shrinks: the table can be read at any moment, and the command can be repeated.
func TestResizeCrash(t *testing.T) {
	const small, large = 6 * mib, 20 * mib
	content := partitioned(small, 2048, 6143)
	each(t, func(t *testing.T, k kind) {
		if compresses(k) || k.flat && k.name != "raw " || k.name == "qcow2 v2" {
			t.Skip("as another")
		}
		rec := disktest.NewRecorder()
		o, path := k.o, "d/"+k.file
		o.Files = rec
		shuffled(t, path, o, content, false)
		do := func(files *disktest.Recorder, size int64) error {
			i, err := formats.Open(path, disk.OpenOptions{Files: files})
			if err != nil {
				return err
			}
			_, err = tools.ResizeImage(t.Context(), i, tools.ResizeOptions{Size: to(size)})
			return errors.Join(err, i.Close())
		}
		look := func(files *disktest.Recorder, sizes ...int64) error {
			i, err := formats.Open(path, disk.OpenOptions{Files: files})
			if err != nil {
				return err
			}
			defer i.Close()
			if !slices.Contains(sizes, i.Size()) {
				return fmt.Errorf("%d bytes", i.Size())
			}
			tab, err := partition.Read(t.Context(), i, i.Size(), 0)
			if err != nil {
				return err
			}
			if len(sizes) == 1 && (len(tab.Notes) > 0 || tab.Alternate != i.Size()) {
				return fmt.Errorf("not as it should be: %+v", tab)
			}
			got := make([]byte, 4096*512)
			if _, err := i.ReadAt(got, 2048*512); err != nil || len(tab.Entries) != 1 || !bytes.Equal(got, content[2048*512:6144*512]) {
				return fmt.Errorf("the partition has changed (%w)", err)
			}
			return nil
		}
		for _, size := range []int64{large, small} {
			rec.Settle()
			must(t, do(rec, size))
			states, err := rec.Crashes(rand.New(rand.NewPCG(1, 8)), max(1, rec.Events()/10), func(_ int, left *disktest.Recorder) error {
				if err := look(left, small, large); err != nil {
					return err
				}
				if err := do(left, size); err != nil {
					return fmt.Errorf("again: %w", err)
				}
				return look(left, size)
			})
			if err != nil {
				t.Errorf("to %d: %v", size, err)
			}
			t.Logf("to %d: %d events, %d crashes", size, rec.Events(), states)
		}
	})
}
