package disk_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// TestFolder tries to leave the folder that an image's further files are confined to.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	inside, secret := filepath.Join(dir, "vm"), filepath.Join(dir, "secret")
	for _, d := range []string{inside, filepath.Join(inside, "sub")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{secret, filepath.Join(inside, "a.vmdk"), filepath.Join(inside, "sub/b.vmdk")} {
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"good.vmdk": "a.vmdk", "bad.vmdk": "../secret", "abs.vmdk": secret, "up": ".."} {
		if err := os.Symlink(to, filepath.Join(inside, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(inside, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../secret", secret, "sub/../../secret", "bad.vmdk", "abs.vmdk", "up/secret", "", "nbd://host/x", "file:///etc/passwd"} {
		_, err := disk.OpenOptions{}.OpenBeside(inside, name, true)
		if !errors.Is(err, disk.ErrOutside) {
			t.Errorf("%q: %v, want ErrOutside", name, err)
		}
	}
	for _, name := range []string{"fifo", "sub", "missing"} {
		if _, err := (disk.OpenOptions{}).OpenBeside(inside, name, true); err == nil || errors.Is(err, disk.ErrOutside) {
			t.Errorf("%q: %v, want a refusal for what it is", name, err)
		}
	}
	for _, name := range []string{"a.vmdk", "sub/b.vmdk", "good.vmdk", "./a.vmdk"} {
		f, err := disk.OpenOptions{}.OpenBeside(inside, name, false)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got := f.Name(); !filepath.IsAbs(got) {
			t.Errorf("%q: called %q in messages, which lacks the folder", name, got)
		}
		f.Close()
	}
	f, err := disk.OpenOptions{AllowOutside: true}.OpenBeside(inside, "../secret", true)
	if err != nil {
		t.Fatalf("allowed explicitly: %v", err)
	}
	f.Close()
	if _, err := (disk.OpenOptions{}).Open(filepath.Join(inside, "fifo")); err == nil {
		t.Error("opened a FIFO as a disk")
	}
}

// TestFolderNames opens files beside an image that was named from the process's own folder: by their names they must be found again.
func TestFolderNames(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("vm/sub", 0o700); err != nil {
		t.Fatal(err)
	}
	abs, err := filepath.Abs("vm/sub/b.vmdk")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"a.vmdk", "vm/a.vmdk", abs} {
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		folder, name, want string
		outside            bool
	}{
		{".", "a.vmdk", "a.vmdk", false},
		{"vm", "a.vmdk", "vm/a.vmdk", false},
		{"vm", "sub/b.vmdk", "vm/sub/b.vmdk", false},
		{"vm", "a.vmdk", "vm/a.vmdk", true},
		{"vm/sub", "../a.vmdk", "vm/a.vmdk", true},
		{"vm", abs, abs, true},
	}
	for _, tt := range tests {
		f, err := disk.OpenOptions{AllowOutside: tt.outside}.OpenBeside(tt.folder, tt.name, true)
		if err != nil {
			t.Errorf("%s in %s: %v", tt.name, tt.folder, err)
			continue
		}
		if got := f.Name(); got != tt.want {
			t.Errorf("%s in %s is called %s, want %s", tt.name, tt.folder, got, tt.want)
		}
		f.Close()
	}
}

// TestVectors transfers more buffers than one system call takes, with empty ones among them.
func TestVectors(t *testing.T) {
	f, err := disk.OpenOptions{}.Open(image(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out, in [][]byte
	var want []byte
	for i := range 3000 {
		b := bytes.Repeat([]byte{byte(i)}, i%5)
		out, in = append(out, b), append(in, make([]byte, len(b)))
		want = append(want, b...)
	}
	if n, err := f.WritevAt(out, 100); err != nil || n != len(want) {
		t.Fatal(n, err)
	}
	if n, err := f.ReadvAt(in, 100); err != nil || n != len(want) || !bytes.Equal(bytes.Join(in, nil), want) {
		t.Fatal(n, err)
	}
	if n, err := f.ReadvAt([][]byte{make([]byte, 10), make([]byte, 10)}, 1<<20-15); err != io.EOF || n != 15 {
		t.Errorf("across the end of the file: %d, %v", n, err)
	}
	buf := [][]byte{make([]byte, 4096), make([]byte, 4096)}
	if allocs := testing.AllocsPerRun(100, func() { f.ReadvAt(buf, 4096) }); allocs != 0 {
		t.Errorf("ReadvAt allocates %v times", allocs)
	}
}

// TestZero covers what fallocate does, and that the file keeps its length.
func TestZero(t *testing.T) {
	f, err := disk.OpenOptions{}.Open(image(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := bytes.Repeat([]byte{7}, 1<<20)
	for _, unmap := range []bool{false, true} {
		if _, err := f.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Zero(1000, 300000, unmap); err != nil {
			t.Fatal(err)
		}
		if err := f.Zero(1<<20-10, 4096, unmap); err != nil {
			t.Fatal(err)
		}
		if size, err := f.Size(); err != nil || size != 1<<20 {
			t.Fatalf("unmap %v: the file now has %d bytes (%v)", unmap, size, err)
		}
		got := make([]byte, 1<<20)
		if _, err := f.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		for i, b := range got {
			zero := i >= 1000 && i < 301000 || i >= 1<<20-10
			if (b == 0) != zero {
				t.Fatalf("unmap %v: byte %d is %d", unmap, i, b)
			}
		}
	}
}

func TestFormatError(t *testing.T) {
	err := disk.Corrupt("a.vhd", 17, "bad %s", "thing")
	if !errors.Is(err, disk.ErrCorrupt) || err.Error() != "a.vhd: damaged disk image: at byte 17: bad thing" {
		t.Errorf("%v", err)
	}
	err = disk.Unsupported("a.vhd", -1, "new thing")
	if !errors.Is(err, disk.ErrUnsupported) || errors.Is(err, disk.ErrCorrupt) || err.Error() != "a.vhd: unsupported disk image: new thing" {
		t.Errorf("%v", err)
	}
}
