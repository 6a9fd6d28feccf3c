package vmlinux_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sharevm/vmm/boot/internal/kerneltest"
	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/boot/vmlinux"
)

// bzImage writes a bzImage around elf and opens it.
func bzImage(t *testing.T, path string, elf []byte) *os.File {
	t.Helper()
	packed := sized(gzipped(t, elf), len(elf))
	if err := os.WriteFile(path, kerneltest.BzImage{Payload: packed}.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func bootableELF(text string) []byte {
	return kerneltest.ELF(64, kerneltest.Note(0x1000000), kerneltest.Segment{Type: 1, Paddr: 0x1000000, Data: []byte(text)})
}

// open returns the unpacked kernel's bytes.
func open(t *testing.T, folder string, image *os.File) []byte {
	t.Helper()
	f, err := vmlinux.Open(folder, image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func entries(t *testing.T, folder string) []os.DirEntry {
	t.Helper()
	list, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestOpen(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "cache")
	path := filepath.Join(t.TempDir(), "vmlinuz")
	first, second := bootableELF("first"), bootableELF("other")
	image := bzImage(t, path, first)
	if !bytes.Equal(open(t, folder, image), first) {
		t.Error("not the kernel that was packed")
	}
	list := entries(t, folder)
	before, err := list[0].Info()
	if err != nil || len(list) != 1 {
		t.Fatalf("%d files in the cache, %v", len(list), err)
	}
	if !bytes.Equal(open(t, folder, image), first) {
		t.Error("not the same the second time")
	}
	if after, err := entries(t, folder)[0].Info(); err != nil || !os.SameFile(before, after) {
		t.Errorf("unpacked again: %v", err)
	}
	// A kernel that is replaced in place is another kernel.
	image = bzImage(t, path, second)
	if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(open(t, folder, image), second) {
		t.Error("the cache gave the old kernel")
	}
}

func TestOpenKeepsFewKernels(t *testing.T) {
	folder := t.TempDir()
	for i := range 8 {
		image := bzImage(t, filepath.Join(t.TempDir(), "vmlinuz"), bootableELF(string(rune('a'+i))))
		open(t, folder, image)
	}
	if n := len(entries(t, folder)); n != 4 {
		t.Errorf("%d kernels kept", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(t.TempDir(), "vmlinuz")
	noPVH := kerneltest.ELF(64, kerneltest.Segment{Type: 1, Paddr: 0x1000000, Data: []byte("code")})
	if _, err := vmlinux.Open(folder, bzImage(t, path, noPVH)); !errors.Is(err, payload.ErrUnsupported) {
		t.Errorf("kernel without PVH: %v", err)
	}
	damaged := sized([]byte("\x1f\x8bdamaged"), 100)
	if err := os.WriteFile(path, kerneltest.BzImage{Payload: damaged}.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := vmlinux.Open(folder, f); !errors.Is(err, payload.ErrMalformed) {
		t.Errorf("damaged kernel: %v", err)
	}
	for _, e := range entries(t, folder) {
		if e.Name()[0] == '.' {
			t.Errorf("%s is left behind", e.Name())
		}
	}
}
