package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// commit writes a snapshot whose file holds text.
func commit(t *testing.T, dir, text string, disks ...string) {
	t.Helper()
	d, err := Create(dir, []string{MemoryFile})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Files[MemoryFile].WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(disks); err != nil {
		t.Fatal(err)
	}
}

func TestFolder(t *testing.T) {
	root := t.TempDir()
	dir, image := filepath.Join(root, "x.vmsnap", "one"), filepath.Join(root, "disk.img")
	if err := os.WriteFile(image, []byte("disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"first", "second"} { // the second replaces the first
		commit(t, dir, text, image)
		if b, err := os.ReadFile(filepath.Join(dir, MemoryFile)); err != nil || string(b) != text {
			t.Errorf("%q, %v", b, err)
		}
		if err := CheckDisks(dir); err != nil {
			t.Error(err)
		}
	}
	given, err := Create(dir, []string{MemoryFile})
	if err != nil {
		t.Fatal(err)
	}
	given.Discard()
	if list, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(list) != 1 {
		t.Errorf("%v is left, %v", list, err)
	}
	if _, err := Create(dir, []string{"../escape"}); err == nil {
		t.Error("a name that leads elsewhere is taken")
	}
	for _, change := range []func() error{
		func() error { return os.Chtimes(image, time.Now(), time.Now().Add(time.Hour)) },
		func() error { return os.Remove(image) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := CheckDisks(dir); !errors.Is(err, ErrStale) {
			t.Error(err)
		}
	}
	if err := CheckDisks(filepath.Join(root, "none")); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}
