package qcow2_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/qcow2"
)

// TestSnapshotList reads the snapshots that qemu-img takes.
func TestSnapshotList(t *testing.T) {
	qemu := disktest.FindTool(t, "qemu-img", "qemu-utils")
	path := filepath.Join(t.TempDir(), "a.qcow2")
	qemu.Run("create", "-q", "-f", "qcow2", path, "64M")
	names := []string{"clean", "with a longer name, ä"}
	for _, name := range names {
		qemu.Run("snapshot", "-c", name, path)
	}
	i, err := qcow2.Open(path, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	list, err := i.Snapshots()
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for k, s := range list {
		if s.Name != names[k] || s.ID != string(rune('1'+k)) || time.Since(s.Created).Abs() > time.Hour {
			t.Errorf("%+v, want %q", s, names[k])
		}
	}
}
