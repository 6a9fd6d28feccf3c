package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// folder is a machine's folder with one file that is made from inputs.
type folder struct {
	t      *testing.T
	dir    string
	makes  int
	inputs string
}

func (f *folder) update(fresh bool) {
	f.t.Helper()
	tmp := f.t.TempDir()
	done := readManifest(f.dir)
	p := product{"disk.vmdk", []string{f.inputs}, func(_ context.Context, path string) error {
		f.makes++
		return os.WriteFile(path, []byte("made from "+f.inputs), 0o644)
	}}
	if _, err := update(f.t.Context(), f.dir, tmp, p, done, fresh); err != nil {
		f.t.Fatal(err)
	}
	if err := done.write(f.dir); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) holds(want map[string]string) {
	f.t.Helper()
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == manifestName {
			continue
		}
		b, err := os.ReadFile(filepath.Join(f.dir, e.Name()))
		if err != nil {
			f.t.Fatal(err)
		}
		if string(b) != want[e.Name()] {
			f.t.Errorf("%s holds %q, want %q", e.Name(), b, want[e.Name()])
		}
		delete(want, e.Name())
	}
	for name := range want {
		f.t.Errorf("%s is missing", name)
	}
}

func TestUpdateKeepsWhatTheGuestWrote(t *testing.T) {
	f := folder{t: t, dir: t.TempDir(), inputs: "A"}
	f.update(false)
	f.update(false)
	if f.makes != 1 {
		t.Errorf("made %d times from the same inputs", f.makes)
	}
	disk := filepath.Join(f.dir, "disk.vmdk")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(disk, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("the guest's work")
	f.update(false)
	f.holds(map[string]string{"disk.vmdk": "the guest's work"})

	f.inputs = "B"
	f.update(false)
	f.holds(map[string]string{"disk.vmdk": "made from B", "disk.vmdk.old": "the guest's work"})

	f.inputs = "C" // nobody has changed the disk since: nothing to put aside
	f.update(false)
	f.holds(map[string]string{"disk.vmdk": "made from C", "disk.vmdk.old": "the guest's work"})

	write("unwanted")
	if err := os.WriteFile(filepath.Join(f.dir, manifestName), []byte("{torn"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.update(true)
	f.holds(map[string]string{"disk.vmdk": "made from C", "disk.vmdk.old": "the guest's work"})
}

func TestHashTellsInputsApart(t *testing.T) {
	var all []string
	for _, in := range [][]string{{"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}} {
		all = append(all, product{inputs: in}.hash())
	}
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != 4 {
		t.Errorf("4 different inputs have %d hashes", n)
	}
}
