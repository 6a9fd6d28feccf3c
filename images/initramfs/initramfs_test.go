package initramfs

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/sharevm/vmm/internal/elftest"
)

// entry is what a test wants to know of an entry of an archive.
type entry struct {
	mode         uint64
	major, minor uint64
	data         string
}

// unpack reads a newc archive as the kernel does, and fails the test where the kernel would stop.
func unpack(t *testing.T, b []byte) map[string]entry {
	t.Helper()
	out := map[string]entry{}
	for off := 0; ; {
		const headLen = 110
		if len(b) < off+headLen || string(b[off:off+6]) != "070701" {
			t.Fatalf("no header at %d", off)
		}
		field := func(i int) uint64 {
			v, err := strconv.ParseUint(string(b[off+6+8*i:off+14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		size, nameLen := int(field(6)), int(field(11))
		name := string(b[off+headLen : off+headLen+nameLen-1])
		if b[off+headLen+nameLen-1] != 0 {
			t.Fatalf("the name %q does not end with a zero", name)
		}
		start := (off + headLen + nameLen + 3) &^ 3
		if name == "TRAILER!!!" {
			if len(b)%512 != 0 {
				t.Errorf("the archive has %d bytes, no multiple of 512", len(b))
			}
			return out
		}
		if dir := filepath.Dir(name); dir != "." {
			if _, ok := out[dir]; !ok {
				t.Errorf("%s comes before its folder", name)
			}
		}
		if _, ok := out[name]; ok {
			t.Errorf("%s is there twice", name)
		}
		out[name] = entry{field(1), field(9), field(10), string(b[start : start+size])}
		off = (start + size + 3) &^ 3
	}
}

func TestBuild(t *testing.T) {
	init := filepath.Join(t.TempDir(), "prog")
	if err := os.WriteFile(init, []byte("#!init"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Config{
		Init: init, InitName: "/sbin/first",
		Modules: []Module{{"b", []byte("B")}, {"a", []byte("AA")}},
		Dirs:    []string{"var/lib"},
		Files:   []File{{Name: "/etc/motd", Data: []byte("hi")}, {Name: "bin/sh", Link: "bb"}, {Name: "../../escape", Mode: 0o600, Data: []byte("no")}},
	}
	for comp, open := range map[Compression]func(io.Reader) (io.Reader, error){
		None: func(r io.Reader) (io.Reader, error) { return r, nil },
		Gzip: func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		Zstd: func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	} {
		c.Compression = comp
		var first, second bytes.Buffer
		if err := errors.Join(Build(&first, c), Build(&second, c)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: two builds differ", comp)
		}
		r, err := open(&first)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got := unpack(t, plain)
		for name, want := range map[string]entry{
			"sbin/first":    {mode: 0o100755, data: "#!init"},
			"dev/console":   {mode: 0o020600, major: 5, minor: 1},
			"modules/order": {mode: 0o100644, data: "b.ko\na.ko\n"},
			"modules/a.ko":  {mode: 0o100644, data: "AA"},
			"etc/motd":      {mode: 0o100644, data: "hi"},
			"bin/sh":        {mode: 0o120777, data: "bb"},
			"escape":        {mode: 0o100600, data: "no"},
			"var/lib":       {mode: 0o040755},
			"proc":          {mode: 0o040755},
		} {
			if got[name] != want {
				t.Errorf("%s: %s is %+v instead of %+v", comp, name, got[name], want)
			}
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"two of a name":       {Files: []File{{Name: "a"}, {Name: "/x/../a"}}},
		"a file for a folder": {Files: []File{{Name: "etc"}}},
		"the root itself":     {Files: []File{{Name: "/.."}}},
		"no such file":        {Files: []File{{Name: "a", Path: "/nonexistent/file"}}},
		"no such program":     {Init: "/nonexistent/file"},
		"compression":         {Compression: "rar"},
	} {
		if err := Build(io.Discard, c); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestBuildReportsWriteErrors(t *testing.T) {
	if err := Build(full{}, Config{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, fs.ErrPermission }

// tree makes a lib/modules folder; each module is named by its path and says what it depends on.
func tree(t *testing.T, modules map[string]string, builtin ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, depends := range modules {
		path := filepath.Join(dir, "kernel", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		info := fmt.Sprintf("license=GPL\x00depends=%s\x00name=x\x00", depends)
		b := elftest.Build([]elftest.Section{{Name: ".modinfo", Data: []byte(info)}})
		switch filepath.Ext(name) {
		case ".gz":
			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			w.Write(b)
			w.Close()
			b = z.Bytes()
		case ".zst":
			w, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			b = w.EncodeAll(b, nil)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "modules.builtin"), []byte(strings.Join(builtin, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestModulesComeAfterWhatTheyNeed(t *testing.T) {
	dir := tree(t, map[string]string{
		"fs/top.ko": "mid-one,mid_two", "a/mid-one.ko": "base", "b/mid_two.ko.gz": "base,in_kernel", "c/base.ko.zst": "", "d/unused.ko": "gone",
	}, "kernel/x/in-kernel.ko")
	got, err := Modules(dir, "top", "base", "mid-two", "in-kernel")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range got {
		names = append(names, m.Name)
		if !bytes.HasPrefix(m.Data, []byte("\x7fELF")) {
			t.Errorf("%s was not unpacked", m.Name)
		}
	}
	if want := []string{"base", "mid_one", "mid_two", "top"}; !reflect.DeepEqual(names, want) {
		t.Errorf("order %v instead of %v", names, want)
	}
}

func TestModulesRefuses(t *testing.T) {
	dir := tree(t, map[string]string{"a.ko": "b", "b.ko": "a", "c.ko": "gone"})
	if err := os.WriteFile(filepath.Join(dir, "kernel", "junk.ko"), []byte("junk"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "depends on itself", "c": "module c needs", "nowhere": "neither in", "junk": "junk.ko"} {
		if _, err := Modules(dir, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, which does not say %q", name, err, want)
		}
	}
}
