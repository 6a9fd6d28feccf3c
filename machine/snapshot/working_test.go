package snapshot

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sharevm/vmm/vmm/memory"
)

func TestWorking(t *testing.T) {
	dir := t.TempDir()
	want := []memory.Extent{{First: 1, Pages: 2}, {First: 7, Pages: 1 << 20, Written: true}}
	set, f, err := OpenWorking(dir)
	if err != nil || set != nil || f == nil {
		t.Fatalf("%v, %v, %v", set, f, err)
	}
	if set, second, err := OpenWorking(dir); err == nil || set != nil || second != nil {
		t.Errorf("two write it: %v, %v", set, err)
	}
	if err := WriteWorking(f, want); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if set, f, err = OpenWorking(dir); err != nil || f != nil || !slices.Equal(set, want) {
		t.Fatalf("%v, %v, %v", set, f, err)
	}
	path := filepath.Join(dir, WorkingFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		for _, b := range [][]byte{bad, whole[:i]} {
			if _, err := parseWorking(b); err == nil {
				t.Errorf("damaged at byte %d, it is taken", i)
			}
		}
	}
	if err := os.WriteFile(path, whole[:9], 0o600); err != nil {
		t.Fatal(err)
	}
	if set, f, err = OpenWorking(dir); err != nil || f == nil || set != nil { // is written anew
		t.Fatalf("%v, %v", set, err)
	}
	f.Close()
}

// TestWorkingLink has a stranger's snapshot name a file of this user's as its working set, which would be written over.
func TestWorkingLink(t *testing.T) {
	dir, precious := t.TempDir(), filepath.Join(t.TempDir(), "precious")
	for _, exists := range []bool{true, false} {
		if exists {
			if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Remove(precious); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(dir, WorkingFile)
		if err := errors.Join(os.RemoveAll(link), os.Symlink(precious, link)); err != nil {
			t.Fatal(err)
		}
		if set, f, err := OpenWorking(dir); err == nil || set != nil || f != nil {
			t.Errorf("the link is followed: %v, %v, %v", set, f, err)
		}
		if _, err := os.Stat(precious); (err == nil) != exists {
			t.Errorf("the file that the link leads to: %v", err)
		}
	}
}
