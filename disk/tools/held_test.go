package tools_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

// TestHeld commits an image that is kept from others all the time, with what it is based on: also in the moment in which whoever names it may turn to that.
func TestHeld(t *testing.T) {
	dir := t.TempDir()
	parent, child := filepath.Join(dir, "parent.vmdk"), filepath.Join(dir, "child.vmdk")
	if err := formats.Create(parent, disk.CreateOptions{Size: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := formats.Create(child, disk.CreateOptions{Parent: parent}); err != nil {
		t.Fatal(err)
	}
	write(t, child, []byte("now"), 0)
	var h tools.Held
	defer h.Close()
	for _, path := range []string{child, parent} {
		if err := h.Lock(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Lock(child); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("it is locked twice: %v", err)
	}
	kept := func(when string) {
		t.Helper()
		for _, path := range []string{child, parent} {
			if _, err := formats.Open(path, disk.OpenOptions{}); !errors.Is(err, disk.ErrLocked) {
				t.Errorf("%s, %s can be written to: %v", when, path, err)
			}
		}
	}
	broken := errors.New("no")
	moved := func() error {
		kept("when all is moved")
		i, err := formats.Open(parent, disk.OpenOptions{ReadOnly: true, Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		p := make([]byte, 3)
		if _, err := i.ReadAt(p, 0); err != nil || string(p) != "now" {
			t.Errorf("the parent holds %q, %v", p, err)
		}
		return broken
	}
	o := tools.CommitOptions{Open: disk.OpenOptions{Files: &h}, Delete: true, Moved: func() error { return moved() }}
	if _, err := tools.Commit(t.Context(), child, o); !errors.Is(err, broken) {
		t.Errorf("it goes on after an error: %v", err)
	}
	kept("after an error")
	moved = func() error { return nil }
	if _, err := tools.Commit(t.Context(), child, o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(child); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the child is still there: %v", err)
	}
	if _, err := formats.Open(parent, disk.OpenOptions{}); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("afterwards the parent can be written to: %v", err)
	}
	h.Close()
	write(t, parent, []byte("new"), 0)
}
