package vdi_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vdi"
)

// judged has qemu-img check and read the image at path, of which want is the start and the rest is zeroes.
func judged(t *testing.T, path string, size int64, want []byte) {
	t.Helper()
	img := disktest.FindTool(t, "qemu-img", "qemu-utils")
	raw := filepath.Join(disktest.Dir(t), "want.raw")
	if err := os.WriteFile(raw, want, 0o600); err != nil {
		t.Fatal(err)
	}
	img.Run("check", "-q", "-f", "vdi", path)
	if out := img.Run("info", "--output=json", "-f", "vdi", path); !strings.Contains(out, fmt.Sprintf(`"virtual-size": %d,`, size)) {
		t.Fatalf("qemu-img sees another size than %d:\n%s", size, out)
	}
	img.Run("compare", "-f", "vdi", "-F", "raw", path, raw) // what one image has beyond the other's end must be zeroes
	if r, err := vdi.Check(path, disk.OpenOptions{}); err != nil || len(r.Problems) > 0 {
		t.Fatalf("check: %+v, %v", r, err)
	}
}

// TestResizeForeign resizes images of ours and of qemu's, also so far that the map moves, and has qemu read them after each step.
func TestResizeForeign(t *testing.T) {
	const start = 6<<20 + 512
	qemu := func(static string) func(string) {
		return func(path string) {
			disktest.FindTool(t, "qemu-img", "qemu-utils").Run("create", "-q", "-f", "vdi", "-o", "static="+static, path, fmt.Sprint(start))
		}
	}
	ours := func(variant string) func(string) {
		return func(path string) {
			if err := vdi.Create(path, disk.CreateOptions{Size: start, Variant: variant}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, create := range map[string]func(path string){"dynamic": ours(""), "fixed": ours("fixed"), "qemu": qemu("off"), "qemu fixed": qemu("on")} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(disktest.Dir(t), "disk.vdi")
			create(path)
			want := make([]byte, 8<<20)
			write := func(i disk.Image, off, n int64, b byte) {
				t.Helper()
				copy(want[off:off+n], bytes.Repeat([]byte{b}, int(n)))
				if _, err := i.WriteAt(want[off:off+n], off); err != nil {
					t.Fatal(err)
				}
			}
			last := int64(start)
			for n, size := range []int64{start, 7<<20 + 512, 300 << 30, 5 << 20, 1 << 40, 3<<20 + 512, 8 << 20} {
				i, err := vdi.Open(path, disk.OpenOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if err := i.Resize(size); err != nil {
					t.Fatal(err)
				}
				if size < int64(len(want)) {
					clear(want[size:])
				}
				last = size
				write(i, 0, 5000, byte(n+1))
				write(i, min(size, int64(len(want)))-5000, 5000, byte(n+101))
				write(i, 1<<20+int64(n)*1000, 1000, byte(n+201))
				if err := i.Close(); err != nil {
					t.Fatal(err)
				}
				judged(t, path, last, want[:min(last, int64(len(want)))])
			}
		})
	}
}

// TestArrangeForeign turns round the order of the blocks of an image of qemu's and drops one, and has qemu read the rest.
func TestArrangeForeign(t *testing.T) {
	const size = 10 << 20
	path := filepath.Join(disktest.Dir(t), "disk.vdi")
	disktest.FindTool(t, "qemu-img", "qemu-utils").Run("create", "-q", "-f", "vdi", path, fmt.Sprint(size))
	want := make([]byte, size)
	for n, b := range []int{7, 3, 9, 1} {
		off := b<<20 + 4096
		disktest.FindTool(t, "qemu-io", "qemu-utils").Run("-f", "vdi", "-c", fmt.Sprintf("write -P %d %d 70000", n+1, off), path)
		copy(want[off:], bytes.Repeat([]byte{byte(n + 1)}, 70000))
	}
	i, err := vdi.Open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	arenas, err := i.Arenas()
	if err != nil {
		t.Fatal(err)
	}
	a := arenas[0]
	if a.Slot(7) != 0 || a.Slot(1) != 3 || a.Slot(0) != -1 {
		t.Fatalf("block 7 in slot %d, 1 in %d, 0 in %d", a.Slot(7), a.Slot(1), a.Slot(0))
	}
	if err := a.Drop(3); err != nil {
		t.Fatal(err)
	}
	clear(want[3<<20 : 4<<20])
	for _, step := range [][2]int64{{7, 5}, {1, 0}, {9, 1}, {7, 2}, {9, 3}, {7, 1}, {9, 2}} { // in the order 1, 7, 9
		if err := a.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := a.Move(step[0], step[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Trim(); err != nil {
		t.Fatal(err)
	}
	if a.Slots() != 3 || a.Slot(1) != 0 || a.Slot(7) != 1 || a.Slot(9) != 2 {
		t.Errorf("%d slots, block 1 in %d, 7 in %d, 9 in %d", a.Slots(), a.Slot(1), a.Slot(7), a.Slot(9))
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	judged(t, path, size, want)
}
