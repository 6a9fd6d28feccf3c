package snapshot

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sharevm/vmm/vmm/memory/memorytest"
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
	for path, want := range map[string]os.FileMode{filepath.Dir(dir): 0o700, dir: 0o700, filepath.Join(dir, MemoryFile): 0o600, filepath.Join(dir, disksFile): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want { // a guest's memory is its user's alone
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
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
	info, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func() error{
		func() error {
			return errors.Join(os.Truncate(image, 3), os.Chtimes(image, info.ModTime(), info.ModTime()))
		},
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
	list := filepath.Join(dir, disksFile)
	if err := errors.Join(os.Rename(list, filepath.Join(root, "list")), os.Symlink(filepath.Join(root, "list"), list)); err != nil {
		t.Fatal(err)
	}
	if _, err := Disks(dir); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a link: %v", err)
	}
}

// TestReplaced replaces a snapshot again and again: whoever looks finds one, and that whole.
func TestReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x.vmsuspend")
	commit(t, dir, "whole")
	missed := 0
	stop := memorytest.Beside(t, func(int) {
		if _, err := os.Stat(dir); err != nil {
			missed++
		}
	})
	for range 100 {
		commit(t, dir, "whole")
	}
	if stop(); missed > 0 {
		t.Errorf("there was none in %d looks", missed)
	}
}

// TestShare makes a snapshot from another one: its files are the same, and what was found out of the other machine's memory is not this one's.
func TestShare(t *testing.T) {
	root := t.TempDir()
	from, to, image := filepath.Join(root, "from"), filepath.Join(root, "to"), filepath.Join(root, "disk.img")
	commit(t, from, "memory")
	for _, path := range []string{filepath.Join(from, WorkingFile), image} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Share(from, to, []string{image}); err != nil {
		t.Fatal(err)
	}
	a, err := os.Stat(filepath.Join(from, MemoryFile))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.Stat(filepath.Join(to, MemoryFile)); err != nil || !os.SameFile(a, b) {
		t.Errorf("memory takes room twice: %v", err)
	}
	if _, err := os.Stat(filepath.Join(to, WorkingFile)); err == nil {
		t.Error("the working set came along")
	}
	for dir, want := range map[string]int{from: 0, to: 1} {
		if list, err := Disks(dir); err != nil || len(list) != want {
			t.Errorf("%s depends on %v, %v", dir, list, err)
		}
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
