package browser

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var errFetches = errors.New("the packages are not here")

// TestSameMachine makes the whole machine twice, its init compiled anew, where the packages have been fetched (make image-browser): not a byte differs, and each package that is in it has a
// version, a checksum and its licences.
func TestSameMachine(t *testing.T) {
	var made [2]manifest
	for i := range made {
		dir := filepath.Join(t.TempDir(), "machine")
		ctx, cancel := context.WithCancelCause(t.Context())
		progress := func(doing string) {
			if strings.HasPrefix(doing, "downloading") {
				cancel(errFetches)
			}
		}
		err := Build(ctx, dir, Options{Progress: progress})
		if errors.Is(context.Cause(ctx), errFetches) {
			t.Skip(errFetches)
		}
		if err != nil {
			t.Fatal(err)
		}
		cancel(nil)
		made[i] = readManifest(dir)
		for name, f := range made[i].Files {
			if is, err := describe(filepath.Join(dir, name)); err != nil || is != f {
				t.Errorf("%s is not what the manifest says: %v", name, err)
			}
		}
		names, err := os.ReadDir(dir)
		if err != nil || len(names) != len(made[i].Files)+1 {
			t.Errorf("the folder holds %v, %v", names, err)
		}
		if err := os.RemoveAll(dir); err != nil { // it is large
			t.Fatal(err)
		}
	}
	if !maps.Equal(made[0].Files, made[1].Files) || made[0].Inputs != made[1].Inputs {
		t.Errorf("two builds differ: %v, %v", made[0].Files, made[1].Files)
	}
	pins, err := parseLock(lockText)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pins {
		i := slices.IndexFunc(made[0].Packages, func(e packageEntry) bool { return e.Name == p.Name })
		if p.Name == kernelMeta {
			continue
		}
		if i < 0 || made[0].Packages[i].Version != p.Version || made[0].Packages[i].SHA256 != p.SHA256 {
			t.Errorf("the manifest does not name %v", p)
		}
	}
	free := 0
	for _, e := range made[0].Packages {
		if len(e.Licences) == 0 { // of free form: its text is in the root disk
			free++
		}
	}
	if free > len(made[0].Packages)/3 {
		t.Errorf("the licences of %d of %d packages are not told", free, len(made[0].Packages))
	}
}
