package vmdk_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vmdk"
)

// unclean says whether the header carries the mark of a writer.
func unclean(img []byte) bool { return img[72] != 0 }

// TestSession follows the content identifier and the unclean mark through a session.
func TestSession(t *testing.T) {
	files := disktest.NewRecorder()
	if err := vmdk.Create(path, disk.CreateOptions{Size: 1 << 20, Files: files}); err != nil {
		t.Fatal(err)
	}
	before := files.Get(path)
	files.Settle()

	i, err := vmdk.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.ReadAt(make([]byte, 512), 0); err != nil {
		t.Fatal(err)
	}
	if err := i.Flush(); err != nil || files.Events() != 0 {
		t.Fatalf("reading and flushing changed the file: %d events, %v", files.Events(), err)
	}
	if _, err := i.WriteAt([]byte{1}, 0); err != nil {
		t.Fatal(err)
	}
	during := files.Get(path)
	if !unclean(during) {
		t.Error("a written extent is not marked")
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	after := files.Get(path)
	if unclean(after) {
		t.Error("a closed extent is still marked")
	}

	// Of the descriptor only the identifiers have changed, and they agree.
	d0, d1 := descriptor(t, before), descriptor(t, after)
	if d0.CID == d1.CID {
		t.Errorf("CID is still %08x", d1.CID)
	}
	if !strings.HasSuffix(d1.DDB["longcontentid"], fmt.Sprintf("%08x", d1.CID)) {
		t.Errorf("long content identifier %s does not end with the CID %08x", d1.DDB["longcontentid"], d1.CID)
	}
	text := string(after[512 : 21*512])
	for _, s := range [][2]string{
		{fmt.Sprintf("CID=%08x", d1.CID), fmt.Sprintf("CID=%08x", d0.CID)},
		{d1.DDB["longcontentid"], d0.DDB["longcontentid"]},
	} {
		text = strings.Replace(text, s[0], s[1], 1)
	}
	if text != string(before[512:21*512]) {
		t.Error("more of the descriptor has changed than the identifiers")
	}

	// A machine that died leaves the mark, which the next opening reports.
	files.Put(path, during)
	i, err = vmdk.Open(path, disk.OpenOptions{ReadOnly: true, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if !i.Info().Unclean || len(i.Info().Warnings) == 0 {
		t.Errorf("nothing is said about the writer that did not close: %+v", i.Info())
	}
}

func descriptor(t *testing.T, img []byte) *vmdk.Descriptor {
	t.Helper()
	d, err := vmdk.ParseDescriptor(img[512 : 21*512])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestCIDKeepsItsPlace changes identifiers of any length without moving the text behind them.
func TestCIDKeepsItsPlace(t *testing.T) {
	for _, cid := range []string{"7", "52db3b7", "fffffffe", "00000000"} {
		files := disktest.NewRecorder()
		text := strings.Replace(plainDescriptor, "fffffffe", cid, 1)
		files.Put("d/disk.vmdk", []byte(text))
		files.Put("d/disk-flat.vmdk", make([]byte, 64<<10))
		i, err := vmdk.Open("d/disk.vmdk", disk.OpenOptions{Files: files})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.WriteAt([]byte("x"), 77); err != nil {
			t.Fatal(err)
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		got := string(files.Get("d/disk.vmdk"))
		at := strings.Index(text, "CID=") + 4
		if len(got) != len(text) || got[:at] != text[:at] || got[at+len(cid):] != text[at+len(cid):] || got == text {
			t.Errorf("CID=%s became\n%s", cid, got)
		}
		if flat := files.Get("d/disk-flat.vmdk"); flat[77] != 'x' {
			t.Error("the write did not reach the flat extent")
		}
	}
}

// TestMixedExtents opens a disk of every kind of extent, in an odd descriptor.
func TestMixedExtents(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, p []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("disk.vmdk", []byte(oddDescriptor))
	write("sub/café 1.vmdk", bytes.Repeat([]byte("a"), (128+64)*512))
	write("b=c.vmdk", bytes.Repeat([]byte("b"), 10*512))
	write("disk-pt.vmdk", bytes.Repeat([]byte("c"), 63*512))

	i, err := vmdk.Open(filepath.Join(dir, "disk.vmdk"), disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if want := int64(64+10+63+7+9) * 512; i.Size() != want {
		t.Fatalf("size %d, want %d: an extent is missing", i.Size(), want)
	}
	got := make([]byte, (64+10+63+7)*512)
	if _, err := i.ReadvAt([][]byte{got[:1000], got[1000:]}, 0); err != nil {
		t.Fatal(err)
	}
	want := append(append(append(bytes.Repeat([]byte("a"), 64*512), bytes.Repeat([]byte("b"), 10*512)...),
		bytes.Repeat([]byte("c"), 63*512)...), make([]byte, 7*512)...)
	if !bytes.Equal(got, want) {
		t.Error("the extents are not in their places")
	}
	for off, want := range map[int64]error{
		64 * 512: disk.ErrReadOnly, (64 + 10 + 63) * 512: disk.ErrReadOnly, (64 + 10 + 63 + 7) * 512: disk.ErrNoAccess,
	} {
		if _, err := i.WriteAt([]byte{1}, off); !errors.Is(err, want) {
			t.Errorf("write at %d: %v, want %v", off, err, want)
		}
	}
	if _, err := i.ReadAt(make([]byte, 1), (64+10+63+7)*512); !errors.Is(err, disk.ErrNoAccess) {
		t.Errorf("read of a NOACCESS extent: %v", err)
	}
	if _, err := i.WriteAt([]byte("across"), 64*512-6); err != nil {
		t.Error(err)
	}
}

// TestExtentsStayInside has descriptors name files elsewhere, and themselves.
func TestExtentsStayInside(t *testing.T) {
	dir := t.TempDir()
	vm := filepath.Join(dir, "vm")
	if err := os.Mkdir(vm, 0o700); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../secret", `..\secret`, secret, "/dev/sda", "x/../../secret", "nbd://127.0.0.1/x", ""} {
		text := strings.Replace(plainDescriptor, "disk-flat.vmdk", name, 1)
		p := filepath.Join(vm, "disk.vmdk")
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := vmdk.Open(p, disk.OpenOptions{ReadOnly: true})
		if !errors.Is(err, disk.ErrOutside) || !strings.Contains(err.Error(), p) {
			t.Errorf("%q: %v, want ErrOutside that names the descriptor", name, err)
		}
	}
	p := filepath.Join(vm, "self.vmdk")
	if err := os.WriteFile(p, []byte(strings.Replace(plainDescriptor, `128 FLAT "disk-flat.vmdk"`, `1 SPARSE "self.vmdk"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if i, err := vmdk.Open(p, disk.OpenOptions{}); err == nil {
		i.Close()
		t.Error("opened a disk that is its own extent")
	}
}

// TestFlatExtentByMistake opens flat extents whose guest has written a descriptor into its first sector.
func TestFlatExtentByMistake(t *testing.T) {
	for _, name := range []string{"disk-flat.vmdk", "DISK-FLAT.VMDK", "disk-f001.vmdk"} {
		p := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(p, []byte(strings.Replace(plainDescriptor, "disk-flat.vmdk", "other.vmdk", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(p), "other.vmdk"), make([]byte, 64<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := vmdk.Open(p, disk.OpenOptions{}); !errors.Is(err, disk.ErrUnsupported) {
			t.Errorf("%s: %v, want ErrUnsupported", name, err)
		}
	}
}

// TestZeroGrains reads and writes grains that qemu marked as zeroes.
func TestZeroGrains(t *testing.T) {
	img, qio := disktest.FindTool(t, "qemu-img", "qemu-utils"), disktest.FindTool(t, "qemu-io", "qemu-utils")
	p := filepath.Join(t.TempDir(), "disk.vmdk")
	img.Run("create", "-q", "-f", "vmdk", "-o", "zeroed_grain=on", p, "4M")
	qio.Run("-f", "vmdk", "-c", "write -P 1 0 256k", "-c", "write -z 64k 128k", p)
	i, err := vmdk.Open(p, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := append(append(bytes.Repeat([]byte{1}, 64<<10), make([]byte, 128<<10)...), bytes.Repeat([]byte{1}, 64<<10)...)
	compare := func() {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := i.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("not as qemu wrote it: %v", err)
		}
	}
	compare()
	zero := int64(0)
	if err := i.Extents(0, i.Size(), func(e disk.Extent) bool {
		if e.Kind == disk.Zero {
			zero += e.Length
		}
		return true
	}); err != nil || zero != 128<<10 {
		t.Errorf("%d bytes are marked as zeroes, want %d (%v)", zero, 128<<10, err)
	}
	if _, err := i.WriteAt([]byte{9, 9}, 100<<10); err != nil {
		t.Fatal(err)
	}
	want[100<<10], want[100<<10+1] = 9, 9
	compare()
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	img.Run("check", "-q", "-f", "vmdk", p)
	if out := qio.Run("-r", "-f", "vmdk", "-c", "read -P 9 102400 2", "-c", "read -P 0 65536 1000", p); strings.Contains(out, "failed") {
		t.Errorf("qemu does not read what we wrote into a zero grain:\n%s", out)
	}
}
