package vhd_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhd"
)

// judged has qemu-img read the image at path, and libvhdi tell its size.
func judged(t *testing.T, path string, want []byte) {
	t.Helper()
	img := disktest.FindTool(t, "qemu-img", "qemu-utils")
	raw := filepath.Join(disktest.Dir(t), "want.raw")
	if err := os.WriteFile(raw, want, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := img.Run("info", "--output=json", "-f", "vpc", path); !strings.Contains(out, fmt.Sprintf(`"virtual-size": %d,`, len(want))) {
		t.Fatalf("qemu-img sees another size than %d:\n%s", len(want), out)
	}
	img.Run("compare", "-f", "vpc", "-F", "raw", path, raw)
	if out := disktest.FindTool(t, "vhdiinfo", "libvhdi-utils").Run(path); !strings.Contains(out, fmt.Sprintf("(%d bytes)", len(want))) {
		t.Fatalf("vhdiinfo sees another size than %d:\n%s", len(want), out)
	}
}

// write puts a pattern at off of the image and of what it should hold.
func write(t *testing.T, i disk.Image, want []byte, off, n int64, b byte) {
	t.Helper()
	copy(want[off:off+n], bytes.Repeat([]byte{b}, int(n)))
	if _, err := i.WriteAt(want[off:off+n], off); err != nil {
		t.Fatal(err)
	}
}

// TestResizeForeign resizes images of ours, and one of qemu's whose blocks are not aligned, and has others read them after each step.
func TestResizeForeign(t *testing.T) {
	const start = 6<<20 + 512
	for name, create := range map[string]func(path string){
		"dynamic":      func(path string) { create(t, path, disk.CreateOptions{Size: start}) },
		"small blocks": func(path string) { create(t, path, disk.CreateOptions{Size: start, BlockSize: 512 << 10}) },
		"fixed":        func(path string) { create(t, path, disk.CreateOptions{Size: start, Variant: "fixed"}) },
		"qemu": func(path string) {
			disktest.FindTool(t, "qemu-img", "qemu-utils").Run("create", "-q", "-f", "vpc", "-o", "force_size=on", path, fmt.Sprint(start))
		},
		"qemu fixed": func(path string) {
			disktest.FindTool(t, "qemu-img", "qemu-utils").Run("create", "-q", "-f", "vpc", "-o", "force_size=on,subformat=fixed", path, fmt.Sprint(start))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(disktest.Dir(t), "disk.vhd")
			create(path)
			i, err := vhd.Open(path, disk.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want := make([]byte, start)
			far := int64(70 << 20)
			if name == "qemu" { // a table of two sectors
				far = 260 << 20
			}
			for n, size := range []int64{start, far + 512, 5 << 20, 5<<20 + 512, 2 << 20, 40 << 20, 4<<20 - 512} {
				if err := i.Resize(size); err != nil {
					t.Fatal(err)
				}
				want = append(want[:min(size, int64(len(want)))], make([]byte, max(0, size-int64(len(want))))...)
				write(t, i, want, size-4096, 4096, byte(n+1))
				write(t, i, want, size/3, 100000, byte(n+101))
				write(t, i, want, 0, 1000, byte(n+201))
				if err := i.Close(); err != nil {
					t.Fatal(err)
				}
				judged(t, path, want)
				if r, err := vhd.Check(path, disk.OpenOptions{}); err != nil || len(r.Problems) > 0 {
					t.Fatalf("check: %+v, %v", r, err)
				}
				if i, err = vhd.Open(path, disk.OpenOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			i.Close()
		})
	}
}

func create(t *testing.T, path string, o disk.CreateOptions) {
	t.Helper()
	if err := vhd.Create(path, o); err != nil {
		t.Fatal(err)
	}
}

// TestArrangeForeign turns round the order of the blocks of an image of qemu's, whose blocks are not aligned, drops one, and has qemu read the rest.
func TestArrangeForeign(t *testing.T) {
	img, io := disktest.FindTool(t, "qemu-img", "qemu-utils"), disktest.FindTool(t, "qemu-io", "qemu-utils")
	const size = 20 << 20
	path := filepath.Join(disktest.Dir(t), "disk.vhd")
	img.Run("create", "-q", "-f", "vpc", "-o", "force_size=on", path, fmt.Sprint(size))
	want := make([]byte, size)
	for n, b := range []int{7, 3, 9, 1, 5} {
		off := b<<21 + 4096
		io.Run("-f", "vpc", "-c", fmt.Sprintf("write -P %d %d 70000", n+1, off), path)
		copy(want[off:], bytes.Repeat([]byte{byte(n + 1)}, 70000))
	}
	i, err := vhd.Open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	arenas, err := i.Arenas()
	if err != nil {
		t.Fatal(err)
	}
	a := arenas[0]
	if a.Slots() != 5 || a.Slot(7) != 0 || a.Slot(5) != 4 || a.Slot(0) != -1 {
		t.Fatalf("%d slots, block 7 in %d, 5 in %d, 0 in %d", a.Slots(), a.Slot(7), a.Slot(5), a.Slot(0))
	}
	if err := a.Drop(3); err != nil {
		t.Fatal(err)
	}
	clear(want[3<<21 : 4<<21])
	for _, step := range [][2]int64{{7, 5}, {9, 6}} {
		if err := a.Move(step[0], step[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Flush(); err != nil {
		t.Fatal(err)
	}
	for slot, block := range []int64{1, 5, 7, 9} { // 1 and 5 are in slots 3 and 4
		if err := a.Move(block, int64(slot)); err != nil {
			t.Fatal(err)
		}
		if err := a.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Trim(); err != nil {
		t.Fatal(err)
	}
	if a.Slots() != 4 {
		t.Errorf("%d slots are left for 4 blocks", a.Slots())
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	judged(t, path, want)
	if r, err := vhd.Check(path, disk.OpenOptions{}); err != nil || len(r.Problems) > 0 {
		t.Errorf("check: %+v, %v", r, err)
	}
}

// TestRelinkForeign has libvhdi read a child through a new parent, and qemu the child without one.
func TestRelinkForeign(t *testing.T) {
	child, _ := family(t)
	dir := filepath.Dir(child)
	other := filepath.Join(dir, "Änderung.vhd")
	create(t, other, disk.CreateOptions{Size: 64 << 10, BlockSize: 16 << 10})
	change(t, other, bytes.Repeat([]byte{0x33}, 64<<10), 0)
	change(t, child, bytes.Repeat([]byte{0x78}, 8192), 16<<10)
	relink := func(parent string) {
		t.Helper()
		i, err := vhd.Open(child, disk.OpenOptions{Alone: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Relink(parent, ""); err != nil {
			t.Fatal(err)
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
	relink(other)
	_, info := content(t, other, disk.OpenOptions{})
	out := disktest.FindTool(t, "vhdiinfo", "libvhdi-utils").Run(child)
	for _, want := range []string{"Differential", info.ID, "Änderung.vhd"} {
		if !strings.Contains(out, want) {
			t.Errorf("vhdiinfo does not say %q:\n%s", want, out)
		}
	}
	got, _ := content(t, child, disk.OpenOptions{})
	want := bytes.Repeat([]byte{0x33}, 64<<10)
	copy(want[512:1024], bytes.Repeat([]byte{0x77}, 512))
	copy(want[16<<10:], bytes.Repeat([]byte{0x78}, 8192))
	if !bytes.Equal(got, want) {
		t.Error("does not read as the child over its new parent")
	}
	relink("")
	for k, b := range want {
		if b == 0x33 {
			want[k] = 0
		}
	}
	if got, info := content(t, child, disk.OpenOptions{}); !bytes.Equal(got, want) || info.Variant != "dynamic" || info.Parent != "" {
		t.Errorf("does not read as the child by itself: %+v", info)
	}
	judged(t, child, want)
}
