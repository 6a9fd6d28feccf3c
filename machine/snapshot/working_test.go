package snapshot

import (
	"bytes"
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
