package machine

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/machine/snapshot"
)

// TestSnapshotLinks has a stranger's snapshot or files of it lead to others of this user's, which a guest that goes on from there would read as its own memory.
func TestSnapshotLinks(t *testing.T) {
	var state bytes.Buffer
	if err := snapshot.Write(&state, &snapshot.Meta{}, nil); err != nil {
		t.Fatal(err)
	}
	names := []string{snapshot.StateFile, snapshot.MemoryFile, snapshot.PagesFile}
	for _, link := range append(names, "") {
		dir, outside := t.TempDir(), t.TempDir()
		for _, name := range names {
			at := filepath.Join(dir, name)
			if name == link {
				at = filepath.Join(outside, name)
				if err := os.Symlink(at, filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(at, state.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := OpenSnapshot(dir)
		if want := link != ""; want != errors.Is(err, unix.ELOOP) {
			t.Errorf("%q is a link: %v", link, err)
		}
		if err == nil {
			s.Close()
		}
		if link != "" {
			continue
		}
		folder := filepath.Join(outside, "suspended")
		if err := os.Symlink(dir, folder); err != nil {
			t.Fatal(err)
		}
		if s, err := OpenSnapshot(folder); !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("the folder is a link: %v", err)
			s.Close()
		}
	}
}
