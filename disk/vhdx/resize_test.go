package vhdx_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhdx"
)

// opened opens an image.
func opened(tb testing.TB, path string, o disk.OpenOptions) *vhdx.Image {
	tb.Helper()
	i, err := vhdx.Open(path, o)
	if err != nil {
		tb.Fatal(err)
	}
	return i
}

// marks writes a few bytes that tell where they are at each of the places, and expects them there.
func marks(i disk.Image, write bool, places ...int64) error {
	for _, at := range places {
		want := fmt.Appendf(nil, "here is %12d", at)
		got := make([]byte, len(want))
		if write {
			if _, err := i.WriteAt(want, at); err != nil {
				return err
			}
		} else if _, err := i.ReadAt(got, at); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("byte %d: %q (%v)", at, got, err)
		}
	}
	return nil
}

// sound expects that a check finds nothing.
func sound(path string, files disk.Files) error {
	r, err := vhdx.Check(path, disk.OpenOptions{Files: files})
	if err == nil && len(r.Problems) > 0 {
		err = fmt.Errorf("check: %+v", r.Problems)
	}
	return err
}

// TestLongerTable grows disks so far that the table needs another place, in steps; power may fail at any moment.
func TestLongerTable(t *testing.T) {
	const small, middle, large = 3 * mib, 200 << 30, 700 << 30 // a MiB of table is for 128 GiB
	for name, child := range map[string]bool{"alone": false, "child": true} {
		t.Run(name, func(t *testing.T) {
			files := disktest.NewRecorder()
			o := disk.CreateOptions{Size: small, BlockSize: mib, Files: files}
			if child {
				if err := vhdx.Create("d/parent.vhdx", o); err != nil {
					t.Fatal(err)
				}
				o.Parent = "d/parent.vhdx"
			}
			if err := vhdx.Create(path, o); err != nil {
				t.Fatal(err)
			}
			i := opened(t, path, disk.OpenOptions{Files: files})
			if err := errors.Join(marks(i, true, 1000, 2*mib), i.Flush()); err != nil {
				t.Fatal(err)
			}
			files.Settle()
			for _, size := range []int64{middle, large} {
				if err := errors.Join(i.Resize(size), marks(i, false, 1000, 2*mib), marks(i, true, size-100), i.Flush()); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(i.Close(), sound(path, files)); err != nil {
				t.Fatal(err)
			}
			states, err := files.Crashes(rand.New(rand.NewPCG(1, 2)), 4, func(_ int, left *disktest.Recorder) error {
				i, err := vhdx.Open(path, disk.OpenOptions{Files: left})
				if err != nil {
					return err
				}
				size := i.Size()
				if size != small && size != middle && size != large {
					return fmt.Errorf("%d bytes", size)
				}
				return errors.Join(marks(i, false, 1000, 2*mib), marks(i, true, size-200), i.Close(), sound(path, left))
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d crashes", states)
			i = opened(t, path, disk.OpenOptions{Files: files})
			if err := errors.Join(marks(i, false, 1000, 2*mib, middle-100, large-100), i.Resize(small), marks(i, false, 1000, 2*mib), i.Close(), sound(path, files)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestResizeQemu has qemu judge what was grown and cut, and go on with it.
func TestResizeQemu(t *testing.T) {
	for name, o := range map[string]disk.CreateOptions{"dynamic": {}, "small blocks": {BlockSize: mib}, "fixed": {Variant: "fixed"}} {
		t.Run(name, func(t *testing.T) {
			img, io := disktest.FindTool(t, "qemu-img", "qemu-utils"), disktest.FindTool(t, "qemu-io", "qemu-utils")
			dir := disktest.Dir(t)
			file, raw := filepath.Join(dir, "disk.vhdx"), filepath.Join(dir, "disk.raw")
			o.Size = 5*mib + 512
			if err := vhdx.Create(file, o); err != nil {
				t.Fatal(err)
			}
			i := opened(t, file, disk.OpenOptions{})
			want, err := os.Create(raw)
			if err != nil {
				t.Fatal(err)
			}
			defer want.Close()
			for step, size := range []int64{5*mib + 512, 40 * mib, 2*mib + 512, 300 << 30, 3 * mib, 33 * mib} {
				if size >= 1<<30 && o.Variant == "fixed" {
					size = 1 << 30
				}
				p := bytes.Repeat([]byte{byte(step + 1)}, 3000)
				if err := errors.Join(i.Resize(size), want.Truncate(size)); err != nil {
					t.Fatal(err)
				}
				_, err1 := i.WriteAt(p, size-3000)
				_, err2 := want.WriteAt(p, size-3000)
				if err := errors.Join(err1, err2, i.Close()); err != nil {
					t.Fatal(err)
				}
				img.Run("check", "-q", "-f", "vhdx", file)
				if size < 1<<30 { // it reads every byte
					img.Run("compare", "-f", "vhdx", "-F", "raw", file, raw)
				}
				if out := img.Run("info", "--output=json", "-f", "vhdx", file); !strings.Contains(out, fmt.Sprintf(`"virtual-size": %d,`, size)) {
					t.Fatalf("qemu-img sees another size than %d:\n%s", size, out)
				}
				io.Run("-f", "vhdx", "-c", "write -P 0x77 0 4096", "-c", fmt.Sprintf("read -P %d %d 3000", step+1, size-3000), file)
				if _, err := want.WriteAt(bytes.Repeat([]byte{0x77}, 4096), 0); err != nil {
					t.Fatal(err)
				}
				i = opened(t, file, disk.OpenOptions{})
			}
			i.Close()
		})
	}
}

// TestResizeChunks grows a child by several chunks, cuts it, and keeps the sector bitmaps that are in between.
func TestResizeChunks(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		files := disktest.NewRecorder()
		o := disk.CreateOptions{Size: 3 << 30, BlockSize: 2 * mib, SectorSize: sector, Files: files}
		if err := vhdx.Create("d/parent.vhdx", o); err != nil {
			t.Fatal(err)
		}
		parent := opened(t, "d/parent.vhdx", disk.OpenOptions{Files: files})
		if err := errors.Join(marks(parent, true, mib, 2<<30, 3<<30-mib), parent.Close()); err != nil {
			t.Fatal(err)
		}
		o.Parent = "d/parent.vhdx"
		if err := vhdx.Create(path, o); err != nil {
			t.Fatal(err)
		}
		i := opened(t, path, disk.OpenOptions{Files: files})
		step := func(what string, err error) {
			t.Helper()
			if err := errors.Join(err, i.Close(), sound(path, files)); err != nil {
				t.Fatalf("sectors of %d, %s: %v", sector, what, err)
			}
			i = opened(t, path, disk.OpenOptions{Files: files})
		}
		own := []int64{0, 3*mib + 700, 2<<30 + 4*mib}
		step("write", marks(i, true, own...))
		step("grow", i.Resize(9<<30+4096))
		step("keeps", errors.Join(marks(i, false, mib, 2<<30, 3<<30-mib), marks(i, false, own...), marks(i, true, 5<<30, 9<<30)))
		step("grow again", errors.Join(i.Resize(100<<30), marks(i, false, own...), marks(i, false, 5<<30, 9<<30)))
		step("cut", errors.Join(i.Resize(2<<30+8*mib), marks(i, false, own...), marks(i, false, mib, 2<<30)))
		step("cut in a block", i.Resize(2<<30+mib))
		step("grow over the parent", errors.Join(i.Resize(6<<30), marks(i, false, mib, 2<<30)))
		for _, at := range []int64{2<<30 + 4*mib, 3<<30 - mib, 5 << 30} {
			p := []byte("not zero")
			if _, err := i.ReadAt(p, at); err != nil || !bytes.Equal(p, make([]byte, 8)) {
				t.Errorf("sectors of %d: byte %d is %q after it was cut off and added again (%v)", sector, at, p, err)
			}
		}
		i.Close()
	}
}

// TestResizeRefused asks for what cannot be.
func TestResizeRefused(t *testing.T) {
	files := disktest.NewRecorder()
	files.Put(path, written(t))
	i := opened(t, path, disk.OpenOptions{Files: files})
	for _, size := range []int64{64<<40 + 512, 1000, -512} {
		if err := i.Resize(size); err == nil {
			t.Errorf("resized to %d", size)
		}
	}
	if err := errors.Join(i.Resize(64<<40), marks(i, true, 64<<40-50), i.Close(), sound(path, files)); err != nil {
		t.Error(err)
	}

	child, _ := family(t)
	i = opened(t, child, disk.OpenOptions{Alone: true})
	if err := i.Resize(8 * mib); !errors.Is(err, disk.ErrUnsupported) {
		t.Errorf("without its parent: %v, want ErrUnsupported", err)
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}

	// The item of the size lies where that of the sector size does.
	img := written(t)
	copy(img[itemEntry(1)+16:itemEntry(1)+20], img[itemEntry(0)+16:itemEntry(0)+20])
	put(img[blockAt:], mib, 8) // a block size without flags is a size, too
	files.Put(path, img)
	i = opened(t, path, disk.OpenOptions{Files: files})
	if err := i.Resize(2 * mib); !errors.Is(err, disk.ErrCorrupt) {
		t.Errorf("overlapping items: %v, want ErrCorrupt", err)
	}
	i.Close()
}
