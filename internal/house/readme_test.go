package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

var named = regexp.MustCompile("`(?:([a-z0-9]+)\\.)?((?:Test|Fuzz)\\w+)`")

// TestReadme checks that the tests which the README's table of disk formats names are there.
func TestReadme(t *testing.T) {
	checked := 0
	for line := range strings.Lines(read(t, "README.md")) {
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

// TestNamedTests checks the same of the pages that name tests by their packages: the threat model, the list of devices, and what is said of Windows.
func TestNamedTests(t *testing.T) {
	folders := map[string][]string{}
	for _, f := range packages(t) {
		name := filepath.Base(f)
		folders[name] = append(folders[name], f)
	}
	for page, least := range map[string]int{"docs/security.md": 40, "docs/devices.md": 100, "docs/windows.md": 8} {
		checked := 0
		for _, m := range named.FindAllStringSubmatch(read(t, page), -1) {
			if !slices.ContainsFunc(folders[m[1]], func(f string) bool { return hasTest(t, f, m[2]) }) {
				t.Errorf("%s names %s.%s, which is nowhere", page, m[1], m[2])
			}
			checked++
		}
		if checked < least {
			t.Errorf("%s names %d tests only", page, checked)
		}
	}
}

// place is a folder or file of the house as pages name it.
var place = regexp.MustCompile("(?:`|\\]\\()((?:docs|cmd|session|machine|devices|virtio|boot|vmm|disk|config|display|network|audio|images|internal)/[\\w./-]+)[`)]")

// TestPlaces checks that the folders and files are there that the pages name.
func TestPlaces(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, page := range append(pages, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range place.FindAllStringSubmatch(string(b), -1) {
			checked++
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which is not there", filepath.Base(page), m[1])
			}
		}
	}
	if checked < 80 {
		t.Errorf("the pages name %d places only", checked)
	}
}

// TestDevices checks that docs/devices.md has a place for each device that there is.
func TestDevices(t *testing.T) {
	page := read(t, "docs/devices.md")
	seen := 0
	for _, floor := range []string{"devices", "virtio"} {
		rooms, err := os.ReadDir(filepath.Join(root, floor))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rooms {
			if !r.IsDir() || strings.HasSuffix(r.Name(), "test") {
				continue
			}
			seen++
			if name := floor + "/" + r.Name(); !strings.Contains(page, "`"+name+"`") {
				t.Errorf("docs/devices.md does not say what %s is", name)
			}
		}
	}
	if seen < 30 {
		t.Errorf("there are %d devices only", seen)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// packages lists the folders that hold tests.
func packages(t *testing.T) (list []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			if dir := filepath.Dir(path); !slices.Contains(list, dir) {
				list = append(list, dir)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
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

// TestKeysPage checks that docs/keys.md has each key of vmm's own that the linter knows, and no other.
func TestKeysPage(t *testing.T) {
	page := strings.ToLower(read(t, "docs/keys.md"))
	known := regexp.MustCompile(`\{"(vmm\.[^"]+)", \w+,`).FindAllStringSubmatch(read(t, "config/vmx/keys.go"), -1)
	if len(known) < 30 {
		t.Errorf("the linter knows %d keys only", len(known))
	}
	listed := strings.NewReplacer("n.", "0.", "@:n", "scsi0:0", "*", "name")
	var names []string
	for _, k := range known {
		name := listed.Replace(k[1])
		short := name[strings.LastIndex(name, "."):]
		if names = append(names, name); !strings.Contains(page, "`"+name+"`") && !strings.Contains(page, "`"+short+"`") {
			t.Errorf("docs/keys.md does not say what %s is", name)
		}
	}
	for _, m := range regexp.MustCompile("`(vmm\\.[a-z0-9.:]+)`").FindAllStringSubmatch(page, -1) {
		if !slices.Contains(names, m[1]) {
			t.Errorf("docs/keys.md has %s, which nobody knows", m[1])
		}
	}
}
