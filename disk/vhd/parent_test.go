package vhd_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhd"
)

// family makes a parent of 64 KiB that holds 0x5a and a child whose second sector holds 0x77, in a folder.
func family(t *testing.T) (child, parent string) {
	t.Helper()
	dir := disktest.Dir(t)
	child, parent = filepath.Join(dir, "child.vhd"), filepath.Join(dir, "parent.vhd")
	if err := vhd.Create(parent, disk.CreateOptions{Size: 64 << 10, BlockSize: 16 << 10}); err != nil {
		t.Fatal(err)
	}
	change(t, parent, bytes.Repeat([]byte{0x5a}, 64<<10), 0)
	if err := vhd.Create(child, disk.CreateOptions{Parent: parent, BlockSize: 16 << 10}); err != nil {
		t.Fatal(err)
	}
	change(t, child, bytes.Repeat([]byte{0x77}, 512), 512)
	return child, parent
}

// change writes p at off of the image at path.
func change(t *testing.T, path string, p []byte, off int64) {
	t.Helper()
	disktest.Change(t, disktest.Opener(vhd.Open), path, p, off)
}

// content reads an image of 64 KiB.
func content(t *testing.T, path string, o disk.OpenOptions) ([]byte, disk.Info) {
	t.Helper()
	o.ReadOnly = true
	i, err := vhd.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	p := make([]byte, 64<<10)
	if _, err := i.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return p, i.Info()
}

// merged is what the child of a family reads as.
func merged() []byte {
	want := bytes.Repeat([]byte{0x5a}, 64<<10)
	copy(want[512:], bytes.Repeat([]byte{0x77}, 512))
	return want
}

// editHeader changes the dynamic header of the image at path and mends its checksum.
func editHeader(t *testing.T, path string, edit func(h []byte)) {
	t.Helper()
	img, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edit(img[headerAt:])
	vhd.Mend(img)
	if err := os.WriteFile(path, img, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestQemuIgnoresParents pins our reading of a differencing disk where qemu's differs: qemu opens the file as a dynamic disk,
// reads zeroes where the parent's data belongs, and reports no error.
func TestQemuIgnoresParents(t *testing.T) {
	img := disktest.FindTool(t, "qemu-img", "qemu-utils")
	child, _ := family(t)
	got, info := content(t, child, disk.OpenOptions{})
	if !bytes.Equal(got, merged()) || info.Variant != "differencing" || filepath.Base(info.Parent) != "parent.vhd" {
		t.Fatalf("the child does not read as parent and child together: %+v", info)
	}
	raw := child + ".raw"
	img.Run("convert", "-f", "vpc", "-O", "raw", child, raw)
	theirs, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(theirs[:64<<10], got) {
		t.Log("this qemu reads differencing disks; the remark in the documentation is out of date")
	}
}

// TestLibvhdiParent has another implementation read the parent's identifier and name that we write.
func TestLibvhdiParent(t *testing.T) {
	tool := disktest.FindTool(t, "vhdiinfo", "libvhdi-utils")
	child, parent := family(t)
	_, info := content(t, parent, disk.OpenOptions{})
	out := tool.Run(child)
	for _, want := range []string{"Differential", info.ID, "parent.vhd"} {
		if !strings.Contains(out, want) {
			t.Errorf("vhdiinfo does not say %q:\n%s", want, out)
		}
	}
}

// TestStaleParent replaces and changes the parent.
func TestStaleParent(t *testing.T) {
	for name, spoil := range map[string]func(parent string) error{
		"another disk": func(parent string) error {
			return errors.Join(os.Remove(parent), vhd.Create(parent, disk.CreateOptions{Size: 64 << 10}))
		},
		"changed later": func(parent string) error {
			img, err := os.ReadFile(parent)
			if err != nil {
				return err
			}
			for _, f := range footers(img) { // made long ago
				put32(f[24:], 1000)
			}
			vhd.Mend(img)
			later := time.Now().Add(time.Hour)
			return errors.Join(os.WriteFile(parent, img, 0o600), os.Chtimes(parent, later, later))
		},
	} {
		t.Run(name, func(t *testing.T) {
			child, parent := family(t)
			if err := spoil(parent); err != nil {
				t.Fatal(err)
			}
			i, err := vhd.Open(child, disk.OpenOptions{ReadOnly: true})
			if err == nil {
				i.Close()
			}
			if !errors.Is(err, disk.ErrStaleParent) || !strings.Contains(err.Error(), parent) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v, want one line that wraps ErrStaleParent and names the parent", err)
			}
			if _, info := content(t, child, disk.OpenOptions{AllowStaleParent: true}); len(info.Warnings) == 0 {
				t.Error("nothing is said about it")
			}
		})
	}
	t.Run("no time stamp", func(t *testing.T) { // not all programs write one
		child, _ := family(t)
		editHeader(t, child, func(h []byte) { put32(h[56:], 0) })
		content(t, child, disk.OpenOptions{})
	})
	t.Run("time of creation", func(t *testing.T) {
		child, parent := family(t)
		img, err := os.ReadFile(parent)
		if err != nil {
			t.Fatal(err)
		}
		editHeader(t, child, func(h []byte) { copy(h[56:60], img[24:]) })
		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(parent, later, later); err != nil {
			t.Fatal(err)
		}
		content(t, child, disk.OpenOptions{})
	})
}

// TestLocators finds the parent by each kind of locator and in either byte order, and never outside the folder.
func TestLocators(t *testing.T) {
	wide := func(order binary.AppendByteOrder, text string) (p []byte) {
		for _, u := range utf16.Encode([]rune(text)) {
			p = order.AppendUint16(p, u)
		}
		return p
	}
	le, be := binary.LittleEndian, binary.BigEndian
	for name, c := range map[string]struct {
		code string
		text []byte
		name []byte // in the header
		want error
	}{
		"relative":            {"W2ru", wide(le, `.\parent.vhd`), nil, nil},
		"relative, swapped":   {"W2ru", wide(be, `.\parent.vhd`), nil, nil},
		"absolute":            {"W2ku", wide(le, `C:\Users\Zoë\VMs\parent.vhd`), nil, nil},
		"absolute, swapped":   {"W2ku", wide(be, `C:\VMs\parent.vhd`), nil, nil},
		"older":               {"Wi2r", []byte(`.\parent.vhd`), nil, nil},
		"Mac":                 {"MacX", []byte(`file://localhost/VMs/parent.vhd`), nil, nil},
		"name only":           {"\x00\x00\x00\x00", nil, wide(be, `parent.vhd`), nil},
		"name only, swapped":  {"\x00\x00\x00\x00", nil, wide(le, `parent.vhd`), nil},
		"moved":               {"W2ru", wide(le, `..\base\parent.vhd`), wide(be, `parent.vhd`), nil},
		"escapes":             {"W2ru", wide(le, `..\..\etc\passwd`), nil, disk.ErrOutside},
		"absolute on Unix":    {"W2ru", wide(le, `/etc/passwd`), nil, disk.ErrOutside},
		"not there":           {"W2ru", wide(le, `.\other.vhd`), nil, os.ErrNotExist},
		"nothing":             {"\x00\x00\x00\x00", nil, nil, disk.ErrCorrupt},
		"itself":              {"W2ru", wide(le, `child.vhd`), nil, disk.ErrCorrupt},
		"itself by a detour":  {"W2ru", wide(le, `.\sub\..\child.vhd`), nil, disk.ErrCorrupt},
		"lengths that lie":    {"W2ru", nil, nil, disk.ErrCorrupt},
		"a file of no format": {"W2ru", wide(le, `notes.txt`), nil, disk.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			child, _ := family(t)
			if err := os.WriteFile(filepath.Join(filepath.Dir(child), "notes.txt"), make([]byte, 4096), 0o600); err != nil {
				t.Fatal(err)
			}
			img, err := os.ReadFile(child)
			if err != nil {
				t.Fatal(err)
			}
			h := img[headerAt:]
			clear(h[64:576])
			clear(h[576+24 : 576+8*24])
			copy(h[64:576], c.name)
			copy(h[576:], c.code)
			put32(h[576+8:], uint32(len(c.text)))
			at := be.Uint64(h[576+16:])
			clear(img[at : at+512])
			copy(img[at:], c.text)
			if name == "lengths that lie" {
				put32(h[576+8:], 1<<31)
			}
			vhd.Mend(img)
			if err := os.WriteFile(child, img, 0o600); err != nil {
				t.Fatal(err)
			}
			if c.want == nil {
				if got, _ := content(t, child, disk.OpenOptions{}); !bytes.Equal(got, merged()) {
					t.Error("not read as parent and child together")
				}
				return
			}
			i, err := vhd.Open(child, disk.OpenOptions{ReadOnly: true})
			if err == nil {
				i.Close()
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), child) && !strings.Contains(err.Error(), "notes.txt") {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestChildBitmap checks that a write to a child stores the sectors that it covers and no more.
func TestChildBitmap(t *testing.T) {
	child, _ := family(t)
	img, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	table := binary.BigEndian.Uint64(img[headerAt+16:])
	block := int(binary.BigEndian.Uint32(img[table:])) * 512
	if got := img[block : block+4]; !bytes.Equal(got, []byte{0x40, 0, 0, 0}) {
		t.Errorf("the bitmap begins % x, want only the second sector", got)
	}
}

// TestForeignParent refuses a parent of a format without the identifiers that a child records.
func TestForeignParent(t *testing.T) {
	_, parent := family(t)
	err := vhd.Create(filepath.Join(filepath.Dir(parent), "new.vhd"), disk.CreateOptions{
		Parent: parent, Parents: func(string, disk.OpenOptions) (disk.Image, error) { return foreign{}, nil },
	})
	if !errors.Is(err, disk.ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
}

// foreign is an image of another format.
type foreign struct{ disk.Image }

func (foreign) Info() disk.Info { return disk.Info{Format: "raw"} }
func (foreign) Close() error    { return nil }
