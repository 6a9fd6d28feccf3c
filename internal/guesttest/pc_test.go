package guesttest

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPCBoard boots the generic kernel on the PC board, from a virtio disk.
func TestPCBoard(t *testing.T) {
	f := newPCFile(t, "info,disk:/dev/vda:16:7")
	f.set("scsi0.virtualDev", "virtio")
	f.addDisk(0, "disk.img")
	if err := os.WriteFile(filepath.Join(f.dir, "disk.img"), make([]byte, 16<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	f.start(t).finish()
}
