package snapshot

import (
	"errors"
	"os"
	"os/exec"
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

// TestKilled kills a process in the midst of replacing a snapshot, at several points: the old one stays what it was, and nothing is left behind by the next.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("VMM_TEST_KILLED"); dir != "" {
		d, err := Create(dir, []string{StateFile, MemoryFile})
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; ; i++ { // until it is killed
			if _, err := d.Files[MemoryFile].WriteAt([]byte("new"), int64(i)<<10); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				os.Stdout.WriteString("at work\n")
			}
		}
	}
	root := t.TempDir()
	dir := filepath.Join(root, "x[1].vmsuspend") // as a pattern it would not match itself
	commit(t, dir, "old")
	for range 3 {
		c := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		c.Env = append(os.Environ(), "VMM_TEST_KILLED="+dir)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		c.Wait()
		if b, err := os.ReadFile(filepath.Join(dir, MemoryFile)); err != nil || string(b) != "old" {
			t.Errorf("%q, %v", b, err)
		}
	}
	other, err := Create(dir, []string{MemoryFile}) // at work, and not to be disturbed
	if err != nil {
		t.Fatal(err)
	}
	commit(t, dir, "new")
	if err := other.Commit(nil); err != nil {
		t.Error(err)
	}
	if list, err := os.ReadDir(root); err != nil || len(list) != 1 {
		t.Errorf("%v is left, %v", list, err)
	}
}
