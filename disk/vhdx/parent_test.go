package vhdx_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhdx"
)

// family makes a parent of 4 MiB that holds 0x5a and a child whose second sector holds 0x77, in a folder.
func family(t *testing.T) (child, parent string) {
	t.Helper()
	dir := disktest.Dir(t)
	child, parent = filepath.Join(dir, "child.vhdx"), filepath.Join(dir, "parent.vhdx")
	if err := vhdx.Create(parent, disk.CreateOptions{Size: 4 * mib, BlockSize: mib}); err != nil {
		t.Fatal(err)
	}
	change(t, parent, bytes.Repeat([]byte{0x5a}, 4*mib), 0)
	if err := vhdx.Create(child, disk.CreateOptions{Parent: parent}); err != nil {
		t.Fatal(err)
	}
	change(t, child, bytes.Repeat([]byte{0x77}, 512), 512)
	return child, parent
}

// change writes p at off of the image at path.
func change(t *testing.T, path string, p []byte, off int64) {
	t.Helper()
	disktest.Change(t, disktest.Opener(vhdx.Open), path, p, off)
}

// reads opens the child of a family and compares it with what parent and child are together.
func reads(t *testing.T, child string, o disk.OpenOptions) disk.Info {
	t.Helper()
	o.ReadOnly = true
	i, err := vhdx.Open(child, o)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	want := bytes.Repeat([]byte{0x5a}, 4*mib)
	copy(want[512:], bytes.Repeat([]byte{0x77}, 512))
	p := make([]byte, 4*mib)
	if _, err := i.ReadAt(p, 0); err != nil || !bytes.Equal(p, want) {
		t.Errorf("not read as parent and child together: %v", err)
	}
	return i.Info()
}

// TestChild checks what a child stores: one block with one sector marked, and one sector bitmap. qemu refuses such files.
func TestChild(t *testing.T) {
	child, parent := family(t)
	if info := reads(t, child, disk.OpenOptions{}); info.Variant != "differencing" || info.Parent != parent {
		t.Errorf("%+v", info)
	}
	img, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	const ratio = 2048 // blocks of 2 MiB in a chunk
	block, bitmap := le.Uint64(img[tableAt:]), le.Uint64(img[tableAt+8*ratio:])
	if block&7 != 7 || bitmap&7 != 6 {
		t.Fatalf("entries %#x and %#x, want a partially present block and a bitmap", block, bitmap)
	}
	base, err := os.ReadFile(parent)
	if err != nil {
		t.Fatal(err)
	}
	if id := img[itemsAt+16 : itemsAt+32]; !bytes.Equal(id, base[itemsAt+16:itemsAt+32]) {
		t.Errorf("the disk's identifier % x is not the parent's", id)
	}
	if got := img[bitmap&^7:][:4]; !bytes.Equal(got, []byte{2, 0, 0, 0}) {
		t.Errorf("the bitmap begins % x, want only the second sector", got)
	}
	out, code := disktest.FindTool(t, "qemu-img", "qemu-utils").Try("info", "-f", "vhdx", child)
	if code == 0 {
		t.Logf("this qemu opens differencing disks: %s", out)
	}
}

// TestFullChild has all sectors of a block written one by one: it becomes fully present.
func TestFullChild(t *testing.T) {
	child, _ := family(t)
	i, err := vhdx.Open(child, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for off := int64(0); off < 2*mib; off += 64 << 10 {
		if _, err := i.WriteAt(bytes.Repeat([]byte{1}, 64<<10), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	img, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	if e := le.Uint64(img[tableAt:]); e&7 != 6 {
		t.Errorf("entry %#x, want a fully present block", e)
	}
}

// TestZeroChild zeroes over the parent: a whole block costs no space.
func TestZeroChild(t *testing.T) {
	child, _ := family(t)
	before, err := os.Stat(child)
	if err != nil {
		t.Fatal(err)
	}
	i, err := vhdx.Open(child, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.WriteZeroes(2*mib, 2*mib, true); err != nil {
		t.Fatal(err)
	}
	p := bytes.Repeat([]byte{1}, 2*mib)
	if _, err := i.ReadAt(p, 2*mib); err != nil || !bytes.Equal(p, make([]byte, 2*mib)) {
		t.Errorf("not zero: %v", err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(child)
	if err != nil || after.Size() != before.Size() {
		t.Errorf("the file grew from %d to %d bytes: %v", before.Size(), after.Size(), err)
	}
}

func TestStaleParent(t *testing.T) {
	child, parent := family(t)
	i, err := vhdx.Open(parent, disk.OpenOptions{}) // looking does no harm
	if err != nil {
		t.Fatal(err)
	}
	i.Close()
	reads(t, child, disk.OpenOptions{})
	change(t, parent, []byte{0x5a}, 0) // the same content, but a program need not know that
	i, err = vhdx.Open(child, disk.OpenOptions{ReadOnly: true})
	if err == nil {
		i.Close()
	}
	if !errors.Is(err, disk.ErrStaleParent) || !strings.Contains(err.Error(), parent) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v, want one line that wraps ErrStaleParent and names the parent", err)
	}
	if info := reads(t, child, disk.OpenOptions{AllowStaleParent: true}); len(info.Warnings) == 0 {
		t.Error("nothing is said about it")
	}
}

// locator returns the metadata item of a parent locator with the given keys and values.
func locator(kind []byte, pairs ...string) []byte {
	wide := func(s string) (p []byte) {
		for _, u := range utf16.Encode([]rune(s)) {
			p = le.AppendUint16(p, u)
		}
		return p
	}
	head := le.AppendUint16(append(bytes.Clone(kind), 0, 0), uint16(len(pairs)/2))
	var text []byte
	for k := 0; k+1 < len(pairs); k += 2 {
		key, value := wide(pairs[k]), wide(pairs[k+1])
		at := uint32(20 + 6*len(pairs) + len(text))
		head = le.AppendUint32(le.AppendUint32(head, at), at+uint32(len(key)))
		head = le.AppendUint16(le.AppendUint16(head, uint16(len(key))), uint16(len(value)))
		text = append(append(text, key...), value...)
	}
	return append(head, text...)
}

// TestLocators finds the parent by each kind of path, and never outside the folder.
func TestLocators(t *testing.T) {
	const other = "{00000000-0000-0000-0000-000000000001}"
	for name, c := range map[string]struct {
		pairs []string // LINK stands for the parent's identifier
		want  error
	}{
		"relative":        {[]string{"parent_linkage", "LINK", "relative_path", `.\parent.vhdx`}, nil},
		"upper case":      {[]string{"parent_linkage", "UPPER", "relative_path", `parent.vhdx`}, nil},
		"volume":          {[]string{"parent_linkage", "LINK", "volume_path", `\\?\Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}\a\parent.vhdx`}, nil},
		"absolute":        {[]string{"parent_linkage", "LINK", "absolute_win32_path", `\\?\d:\a\parent.vhdx`}, nil},
		"share":           {[]string{"parent_linkage", "LINK", "absolute_win32_path", `\\?\UNC\server\share\parent.vhdx`}, nil},
		"second linkage":  {[]string{"parent_linkage", other, "parent_linkage2", "LINK", "relative_path", `parent.vhdx`}, nil},
		"moved":           {[]string{"parent_linkage", "LINK", "relative_path", `..\base\parent.vhdx`, "absolute_win32_path", `\\?\d:\base\parent.vhdx`}, nil},
		"unknown keys":    {[]string{"colour", "blue", "parent_linkage", "LINK", "relative_path", `parent.vhdx`}, nil},
		"another parent":  {[]string{"parent_linkage", other, "relative_path", `parent.vhdx`}, disk.ErrStaleParent},
		"escapes":         {[]string{"parent_linkage", "LINK", "relative_path", `..\..\etc\passwd`}, disk.ErrOutside},
		"rooted":          {[]string{"parent_linkage", "LINK", "relative_path", `\etc\passwd`}, disk.ErrOutside},
		"URL":             {[]string{"parent_linkage", "LINK", "relative_path", `nbd://host/x`}, os.ErrNotExist},
		"not there":       {[]string{"parent_linkage", "LINK", "relative_path", `other.vhdx`}, os.ErrNotExist},
		"itself":          {[]string{"parent_linkage", "LINK", "relative_path", `child.vhdx`}, disk.ErrCorrupt},
		"no path":         {[]string{"parent_linkage", "LINK"}, disk.ErrCorrupt},
		"no linkage":      {[]string{"relative_path", `parent.vhdx`}, disk.ErrCorrupt},
		"linkage is text": {[]string{"parent_linkage", "parent", "relative_path", `parent.vhdx`}, disk.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			child, parent := family(t)
			p, err := vhdx.Open(parent, disk.OpenOptions{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			id := "{" + p.Info().ID + "}"
			p.Close()
			pairs := append([]string(nil), c.pairs...)
			for k := range pairs {
				pairs[k] = strings.NewReplacer("LINK", id, "UPPER", strings.ToUpper(id)).Replace(pairs[k])
			}
			setLocator(t, child, func(kind []byte) []byte { return locator(kind, pairs...) })
			if c.want == nil {
				reads(t, child, disk.OpenOptions{})
				return
			}
			i, err := vhdx.Open(child, disk.OpenOptions{ReadOnly: true})
			if err == nil {
				i.Close()
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), child) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// setLocator replaces the parent locator of the image at path.
func setLocator(t *testing.T, path string, change func(kind []byte) []byte) {
	t.Helper()
	img, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e := img[itemEntry(5):]
	at := metadataAt + int(le.Uint32(e[16:]))
	l := change(img[at : at+16])
	clear(img[at : at+2048])
	copy(img[at:], l)
	le.PutUint32(e[20:], uint32(len(l)))
	if err := os.WriteFile(path, img, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestHostileLocator refuses locators that are none.
func TestHostileLocator(t *testing.T) {
	for name, spoil := range map[string]func(l []byte) []byte{
		"another type":  func(l []byte) []byte { l[0]++; return l },
		"short":         func(l []byte) []byte { return l[:10] },
		"2^16 entries":  func(l []byte) []byte { le.PutUint16(l[18:], 1<<16-1); return l },
		"key outside":   func(l []byte) []byte { le.PutUint32(l[20:], 1<<32-1); return l },
		"value outside": func(l []byte) []byte { le.PutUint16(l[30:], 1<<16-2); return l },
		"odd length":    func(l []byte) []byte { le.PutUint16(l[28:], 3); return l },
	} {
		child, _ := family(t)
		setLocator(t, child, func(kind []byte) []byte {
			return spoil(locator(kind, "parent_linkage", "{00000000-0000-0000-0000-000000000001}", "relative_path", "parent.vhdx"))
		})
		i, err := vhdx.Open(child, disk.OpenOptions{ReadOnly: true})
		if err == nil {
			i.Close()
		}
		if !errors.Is(err, disk.ErrCorrupt) && !errors.Is(err, disk.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMissingBitmap has a block partially present without a sector bitmap.
func TestMissingBitmap(t *testing.T) {
	child, _ := family(t)
	img, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	clear(img[tableAt+8*2048:][:8])
	if err := os.WriteFile(child, img, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := vhdx.Check(child, disk.OpenOptions{})
	if worst, _ := r.Worst(); err != nil || worst != disk.Damage {
		t.Errorf("check: %+v, %v", r, err)
	}
	i, err := vhdx.Open(child, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if _, err := i.ReadAt(make([]byte, 512), 0); !errors.Is(err, disk.ErrCorrupt) {
		t.Errorf("read: %v, want ErrCorrupt", err)
	}
	if _, err := i.WriteAt(make([]byte, 512), 0); !errors.Is(err, disk.ErrCorrupt) {
		t.Errorf("write: %v, want ErrCorrupt", err)
	}
}

// TestSectorSizes has sectors of 4 KiB, in a disk, its child, and a child that does not fit.
func TestSectorSizes(t *testing.T) {
	s := subjects()["small blocks"]
	s.Options.SectorSize = 4096
	path := filepath.Join(disktest.Dir(t), s.File)
	if err := vhdx.Create(path, disk.CreateOptions{Size: 8*mib + 4096, SectorSize: 4096}); err != nil {
		t.Fatal(err)
	}
	if err := vhdx.Create(path+"2", disk.CreateOptions{Size: 8*mib + 512, SectorSize: 4096}); err == nil {
		t.Error("made a disk of a part of a sector")
	}
	child := filepath.Join(filepath.Dir(path), "child.vhdx")
	if err := vhdx.Create(child, disk.CreateOptions{Parent: path, SectorSize: 512}); err == nil {
		t.Error("made a child with other sectors than its parent's")
	}
	if err := vhdx.Create(child, disk.CreateOptions{Parent: path}); err != nil {
		t.Fatal(err)
	}
	change(t, child, []byte("hello"), 10000)
	i, err := vhdx.Open(child, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if i.Info().SectorSize != 4096 || i.Size() != 8*mib+4096 {
		t.Errorf("%+v", i.Info())
	}
	i.Extents(0, i.Size(), func(e disk.Extent) bool {
		if e.Kind == disk.Data && (e.Offset != 8192 || e.Length != 4096) {
			t.Errorf("%+v, want the third sector only", e)
		}
		return true
	})
	p := make([]byte, 5)
	if _, err := i.ReadAt(p, 10000); err != nil || string(p) != "hello" {
		t.Errorf("%q, %v", p, err)
	}
}
