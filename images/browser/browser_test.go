package browser

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/images/erofs"
	"github.com/sharevm/vmm/internal/debian"
)

// stage lays out a package: names that end in "@" are links to what they hold.
func stage(t *testing.T, name string, files map[string]string) unpacked {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	for file, text := range files {
		p := filepath.Join(dir, strings.TrimSuffix(file, "@"))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if strings.HasSuffix(file, "@") {
			err = os.Symlink(text, p)
		} else {
			err = os.WriteFile(p, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return unpacked{debian.Pin{Name: name}, dir}
}

func TestLock(t *testing.T) {
	pins, err := parseLock(lockText)
	if err != nil {
		t.Fatal(err)
	}
	var all []unpacked
	for _, p := range pins {
		all = append(all, unpacked{Pin: p})
	}
	kernel, rest, err := splitKernel(all)
	if err != nil || kernel.Name == kernelMeta || len(rest) != len(pins)-1 {
		t.Errorf("kernel %q and %d of %d others, %v", kernel.Name, len(rest), len(pins), err)
	}
	if !slices.IsSortedFunc(pins, func(a, b debian.Pin) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the pins are out of order, or there are two of one package")
	}
	for _, seed := range seeds {
		if !slices.ContainsFunc(pins, func(p debian.Pin) bool { return p.Name == seed }) {
			t.Errorf("%s is not pinned", seed)
		}
	}
	if _, err := parseLock("# comment\n\ncage 1\n"); err == nil {
		t.Error("half a pin was taken")
	}
}

func TestMerge(t *testing.T) {
	a := stage(t, "a", map[string]string{"lib/x/liba.so.1@": "liba.so.1.2", "lib/x/liba.so.1.2": "A", "usr/bin/tool@": "/bin/real", "bin/real": "R"})
	b := stage(t, "b", map[string]string{"usr/lib/y/loop@": "loop", "usr/share/doc/b@": "a"})
	all, err := merge([]unpacked{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if _, way, err := all.resolve("usr/bin/tool"); err != nil || !slices.Equal(way, []string{"usr/bin/tool", "usr/bin/real"}) {
		t.Errorf("usr/bin/tool: %q, %v", way, err)
	}
	taken, err := all.closure([]string{"usr/lib/x/liba.so.1"})
	if err != nil || len(taken) != 2 {
		t.Errorf("%v, %v", slices.Collect(maps.Keys(taken)), err)
	}
	for _, bad := range []string{"usr/lib/y/loop", "nothing"} {
		if _, err := all.closure([]string{bad}); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	if !all.dangling("usr/share/doc/b") {
		t.Error("a link to a folder without a file of that name counts as a file")
	}
	if _, err := merge([]unpacked{a, stage(t, "c", map[string]string{"usr/bin/real": "other"})}); err == nil {
		t.Error("two packages have one file: no error")
	}
}

// TestClosureOfProgram takes this machine's own shell, where it is linked dynamically.
func TestClosureOfProgram(t *testing.T) {
	files := map[string]string{}
	for _, f := range []string{"bin/dash", "lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6"} {
		b, err := os.ReadFile("/" + f)
		if err != nil {
			t.Skip("this host is laid out differently: ", err)
		}
		files[f] = string(b)
	}
	all, err := merge([]unpacked{stage(t, "host", files)})
	if err != nil {
		t.Fatal(err)
	}
	taken, err := all.closure([]string{"usr/bin/dash"})
	want := []string{"usr/bin/dash", "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib64/ld-linux-x86-64.so.2"}
	if got := slices.Sorted(maps.Keys(taken)); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	delete(all, "usr/lib/x86_64-linux-gnu/libc.so.6")
	if _, err := all.closure([]string{"usr/bin/dash"}); err == nil || !strings.Contains(err.Error(), "libc.so.6") {
		t.Errorf("without its library: %v", err)
	}
}

// packages has everything that is wanted, and some that is not.
func packages(t *testing.T) []unpacked {
	files := map[string]string{"usr/share/doc/real/copyright": "License: MIT\nLicense: GPL-2+\n text\nLicense: MIT\n", "usr/share/doc/real/NEWS": "news", "usr/bin/unwanted": "x"}
	for _, w := range wanted {
		if strings.HasSuffix(w, "/") {
			w += "file"
		}
		files[w] = w
	}
	return []unpacked{
		stage(t, "real", files),
		stage(t, "fonts", map[string]string{"usr/share/fonts/truetype/more": "font", "usr/share/doc/fonts@": "real"}),
		stage(t, "unused", map[string]string{"usr/bin/x": "x", "usr/share/doc/unused/copyright": "License: X"}),
	}
}

func TestContents(t *testing.T) {
	files, used, err := contents(packages(t))
	if err != nil {
		t.Fatal(err)
	}
	if !used["real"] || !used["fonts"] || used["unused"] {
		t.Errorf("used: %v", used)
	}
	byName := map[string]erofs.File{}
	for _, f := range files {
		byName[f.Name] = f
	}
	if f := byName["usr/bin/cage"]; f.Mode != 0o4755 {
		t.Errorf("cage has the mode %o", f.Mode)
	}
	if f := byName["usr/lib/chromium/chromium"]; f.Mode != 0o755 {
		t.Errorf("chromium has the mode %o", f.Mode)
	}
	for _, name := range []string{"usr/share/doc/real/copyright", "usr/share/doc/fonts/copyright", "usr/share/fonts/truetype/more"} {
		if _, ok := byName[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"usr/bin/unwanted", "usr/share/doc/real/NEWS", "usr/bin/x"} {
		if _, ok := byName[name]; ok {
			t.Errorf("%s is there", name)
		}
	}
}

// TestSameRoot makes the root disk twice.
func TestSameRoot(t *testing.T) {
	init := filepath.Join(t.TempDir(), "init")
	if err := os.WriteFile(init, []byte("init"), 0o755); err != nil {
		t.Fatal(err)
	}
	var made [2][]byte
	var described [2][]packageEntry
	for i := range made {
		b := builder{dir: t.TempDir(), init: init, made: manifest{Inputs: "same"}}
		if err := b.root(packages(t)[:2]); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{rootName, rootFlatName} {
			f, err := os.ReadFile(filepath.Join(b.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			made[i] = append(made[i], f...)
		}
		described[i] = b.made.Packages
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Error("two builds differ")
	}
	if len(described[0]) != 2 || !slices.Equal(described[0][1].Licences, []string{"GPL-2+", "MIT"}) {
		t.Errorf("described as %+v", described[0])
	}
	b := builder{dir: t.TempDir(), init: init}
	if err := b.root(packages(t)); err == nil {
		t.Error("a pin of which nothing is used: no error")
	}
}

func TestChangedMachineFileStays(t *testing.T) {
	folder := t.TempDir()
	publish := func(was *manifest, text string) manifest {
		b := builder{dir: t.TempDir(), made: manifest{Inputs: "i", Files: map[string]file{}}}
		for _, name := range []string{rootFlatName, rootName, kernelName, kernelNotice, initrdName, vmxName} {
			if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.publish(folder, was); err != nil {
			t.Fatal(err)
		}
		return readManifest(folder)
	}
	check := func(want string) {
		t.Helper()
		if b, err := os.ReadFile(filepath.Join(folder, vmxName)); err != nil || string(b) != want {
			t.Errorf("%s is %q, %v", vmxName, b, err)
		}
	}
	m := publish(&manifest{}, "first")
	if !m.current(folder, "i") || m.current(folder, "other") {
		t.Error("the folder's state is not seen")
	}
	m = publish(&m, "second!")
	check("second!")
	if err := os.WriteFile(filepath.Join(folder, vmxName), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if !m.current(folder, "i") {
		t.Error("a changed .vmx is a reason to build")
	}
	m = publish(&m, "third")
	check("mine")
	if err := os.Remove(filepath.Join(folder, kernelName)); err != nil {
		t.Fatal(err)
	}
	if m.current(folder, "i") {
		t.Error("a missing kernel is no reason to build")
	}
}
