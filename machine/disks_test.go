package machine

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// TestDiscardLeavesTheBaseAlone opens one disk for two runs that discard what they write: neither may open the base for writing, which
// would lock the other out and let a damaged image be repaired under the user's hands.
func TestDiscardLeavesTheBaseAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.vmdk")
	if err := formats.Create(path, disk.CreateOptions{Size: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := &config.Disk{Path: path, Format: config.FormatVMDK, Connected: true}
	for range 2 {
		img, err := openDisk(config.New("test"), d, true, "", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = img.Close() })
		if _, err := img.WriteAt([]byte("forget me"), 4096); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 9)
		if _, err := img.ReadAt(got, 4096); err != nil || string(got) != "forget me" {
			t.Errorf("the guest reads back %q, %v", got, err)
		}
		if err := img.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the base has changed")
	}
}
