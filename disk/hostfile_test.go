package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestGoneWhileOpening opens a file that is removed, or replaced, before it can be locked: whoever had it locked has done so.
func TestGoneWhileOpening(t *testing.T) {
	for name, c := range map[string]struct {
		change func(path string) error
		o      FileOptions
		want   error
	}{
		"removed":              {os.Remove, FileOptions{Write: true}, fs.ErrNotExist},
		"removed, for reading": {os.Remove, FileOptions{}, fs.ErrNotExist},
		"removed, shared":      {os.Remove, FileOptions{Write: true, Shared: true}, nil},
		"replaced":             {func(path string) error { return os.Rename(path+".new", path) }, FileOptions{Write: true}, fs.ErrNotExist},
		"renamed":              {func(path string) error { return os.Rename(path, path+".other") }, FileOptions{Write: true}, nil},
	} {
		path := filepath.Join(t.TempDir(), "disk")
		for _, p := range []string{path, path + ".new"} {
			if err := os.WriteFile(p, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.change(path); err != nil {
			t.Fatal(err)
		}
		if _, err := newHostFile(f, path, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		f.Close()
	}
}
