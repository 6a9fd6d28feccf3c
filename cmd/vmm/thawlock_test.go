package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// intrude tries to write to an image, as a machine would that has been started, from the moment at which begun says so until end is closed, and calls in when it gets in.
func intrude(image string, begun func() bool, end <-chan struct{}, in func()) (done <-chan struct{}) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for tries := false; ; {
			select {
			case <-end:
				return
			default:
			}
			if tries = tries || begun(); !tries {
				continue
			}
			if f, err := (disk.HostFiles{}).Open(image, disk.FileOptions{Write: true}); err == nil {
				in()
				f.Close()
				return
			}
		}
	}()
	return gone
}

// TestDeleteFrozenAlone has a machine be started at any moment while a snapshot of it is deleted: it cannot write to an image that is about to go, nor to the one that takes its place
// before that one has.
func TestDeleteFrozenAlone(t *testing.T) {
	path := frozenFolder(t)
	child, parent := filepath.Join(filepath.Dir(path), "disk-000002.vmdk"), filepath.Join(filepath.Dir(path), "disk-000001.vmdk")
	deleting := func() bool { return !isFolder(filepath.Join(snapshotsAt(path), "second")) }
	end := make(chan struct{})
	below := intrude(parent, deleting, end, func() {
		if _, err := os.Stat(child); err == nil {
			t.Error("the parent can be written to while its child is there")
		}
	})
	above := intrude(child, deleting, end, func() { t.Error("the child can be written to that is about to go") })
	err := snapshotCommand(t, "delete", path, "second")
	close(end)
	<-above
	<-below
	if err != nil {
		t.Fatal(err)
	}
	if image, text := holds(t, path); image != "disk-000001.vmdk" || text != "now" {
		t.Errorf("%s holds %q", image, text)
	}
}

// TestRestoreFrozenAlone is the same for a machine that is taken back.
func TestRestoreFrozenAlone(t *testing.T) {
	path := frozenFolder(t)
	now := filepath.Join(filepath.Dir(path), "disk-000002.vmdk")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pointed := func() bool {
		b, err := os.ReadFile(path)
		return err == nil && len(b) > 0 && string(b) != string(before)
	}
	end := make(chan struct{})
	old := intrude(now, pointed, end, func() { t.Error("the image can be written to that is about to go") })
	err = snapshotCommand(t, "restore", path, "first")
	close(end)
	<-old
	if err != nil {
		t.Fatal(err)
	}
	if _, text := holds(t, path); text != "one" {
		t.Errorf("the disk holds %q", text)
	}
}
