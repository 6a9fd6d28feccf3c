package control

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// openFiles counts what this process has open.
func openFiles(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestSnapshot sends files along, and sees that the server leaves none open.
func TestSnapshot(t *testing.T) {
	root := t.TempDir()
	s := serve(t, root, "vm")
	c, err := Find(root, s.ID())
	if err != nil {
		t.Fatal(err)
	}
	names, err := c.SnapshotFiles(t.Context())
	if err != nil || !slices.Equal(names, []string{"state", "memory"}) {
		t.Fatalf("%v, %v", names, err)
	}
	dir := t.TempDir()
	before := openFiles(t)
	for _, n := range []int{2, 1, maxFiles, maxFiles + 1, 0} {
		files := map[string]*os.File{}
		for i := range n {
			name := fmt.Sprintf("file-%d-%d", n, i)
			if n == 2 {
				name = names[i]
			}
			f, err := os.Create(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = f
		}
		err := c.SaveSnapshot(t.Context(), files, true)
		if (err == nil) != (n == 2) {
			t.Errorf("%d files: %v", n, err)
		}
		for name, f := range files {
			f.Close()
			if b, err := os.ReadFile(f.Name()); n == 2 && (err != nil || string(b) != name) {
				t.Errorf("%s holds %q: %v", name, b, err)
			}
		}
	}
	if err := c.call(t.Context(), "POST", "/v1/snapshot", snapshotList{Files: []string{"state"}}, &struct{}{}); err == nil || !strings.Contains(err.Error(), "came along") {
		t.Errorf("names without files: %v", err)
	}
	twice := request{method: "POST", path: "/v1/snapshot", body: []byte(`{"files": ["state", "state", "memory"]}`)}
	for range 3 {
		f, err := os.Create(filepath.Join(dir, "some"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		twice.files = append(twice.files, f)
	}
	before += len(twice.files)
	if _, err := c.ask(t.Context(), twice); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a name twice: %v", err)
	}
	s.Close()
	if after := openFiles(t); after > before {
		t.Errorf("%d files are open, %d before", after, before)
	}
}
