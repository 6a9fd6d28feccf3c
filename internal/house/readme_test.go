package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme checks that the tests which the README's table of disk formats names are there.
func TestReadme(t *testing.T) {
	const root = "../.."
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(?:([a-z0-9]+)\\.)?(Test\\w+)`")
	checked := 0
	for line := range strings.Lines(string(readme)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		room := strings.TrimSpace(cells[len(cells)-1])
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			folder := room
			if m[1] != "" {
				folder = "disk/" + m[1]
			}
			if !hasTest(t, filepath.Join(root, folder), m[2]) {
				t.Errorf("the README names %s, which is not in %s", m[2], folder)
			}
			checked++
		}
	}
	if checked < 60 {
		t.Errorf("the README names %d tests only", checked)
	}
}

// hasTest says whether a folder's tests have a function of that name.
func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
