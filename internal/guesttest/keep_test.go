package guesttest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestKeep has a guest write to a disk that stays as it is (vmm run --keep), twice: the second time it goes on with what it has written.
func TestKeep(t *testing.T) {
	f := newFile(t, "disk:/dev/vda:1:9")
	f.addDisk(0, "disk.img")
	path := filepath.Join(f.dir, "disk.img")
	before := make([]byte, 4<<20)
	if err := os.WriteFile(path, before, 0o644); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(f.dir, "disk-kept-test.vmdk")
	var sizes [2]int64
	for i := range sizes {
		f.start(t, "--keep").finish()
		info, err := os.Stat(kept)
		if err != nil {
			t.Fatal(err)
		}
		sizes[i] = info.Size()
	}
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, before) {
		t.Errorf("the disk was written to: %v", err)
	}
	if sizes[0] < 1<<20 || sizes[1] != sizes[0] {
		t.Errorf("what is kept takes %d bytes, and again %d", sizes[0], sizes[1])
	}
	vmm(t, "disk", "check", kept)
}
