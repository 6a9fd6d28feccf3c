package disktest

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
)

// Libvhdi has libvhdi read the VHD or VHDX file at path, with its parents, and compares what it sees with want.
func Libvhdi(t *testing.T, path string, want []byte) {
	t.Helper()
	seen(t, FindTool(t, "vhdimount", "libvhdi-utils"), path, want)
}

// Libvmdk has libvmdk read the VMDK at path, and compares what it sees with want.
func Libvmdk(t *testing.T, path string, want []byte) {
	t.Helper()
	seen(t, FindTool(t, "vmdkmount", "libvmdk-utils"), path, want)
}

// seen has one of these libraries' tools mount a disk, and compares what is there with want.
func seen(t *testing.T, tool Tool, path string, want []byte) {
	t.Helper()
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		t.Skipf("%s needs FUSE: %v", filepath.Base(tool.path), err)
	} else {
		f.Close()
	}
	dir := t.TempDir()
	tool.Run(path, dir)
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	}()
	// There is a file for each image of the chain, the last one for its top.
	layers, err := os.ReadDir(dir)
	if err != nil || len(layers) == 0 {
		t.Fatalf("%s shows nothing: %v", filepath.Base(tool.path), err)
	}
	got, err := os.ReadFile(filepath.Join(dir, layers[len(layers)-1].Name()))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%s sees %d bytes of %d", filepath.Base(tool.path), len(got), len(want))
	}
	if k := mismatch(got, want); k >= 0 {
		t.Errorf("%s sees %#x at byte %d of %s, want %#x", filepath.Base(tool.path), got[k], k, path, want[k])
	}
}

// LibvhdiChain makes a child with pieces of whole 4 KiB, and compares what libvhdi reads of it.
//
// Smaller pieces are left out because libvhdi 20210425 reads the sectors between the end of a run and the end of its byte of the
// sector bitmap from the child, though their bits are clear.
func LibvhdiChain(t *testing.T, s Subject) {
	const size, piece = 8 * mib, 4096
	path, _, want := s.pair(t, size)
	i := s.open(t, path, disk.OpenOptions{})
	for at := int64(3 * piece); at < size; at += 37 * piece {
		fill(want[at:at+2*piece], at)
		if _, err := i.WriteAt(want[at:at+2*piece], at); err != nil {
			t.Fatal(err)
		}
	}
	s.closeClean(t, i, path)
	Libvhdi(t, path, want)
}
