package erofs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// example has what is easy to get wrong: folders of several blocks, names before ".", empty files, files of whole blocks.
func example(t *testing.T) []File {
	t.Helper()
	host := filepath.Join(t.TempDir(), "host")
	if err := os.WriteFile(host, bytes.Repeat([]byte("0123456789abcdef"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	files := []File{
		{Name: "bin", Link: "usr/bin"},
		{Name: "usr/bin/tool", Mode: 0o4755, Path: host},
		{Name: "empty", Data: nil},
		{Name: "block", Data: bytes.Repeat([]byte("x"), blockSize)},
		{Name: "#before-dot", Data: []byte("first")},
		{Name: "mnt", Dir: true, Mode: 0o700},
		{Name: "usr", Dir: true},
	}
	for i := range 500 {
		files = append(files, File{Name: fmt.Sprintf("many/%d-%s", i, strings.Repeat("n", i%200)), Data: fmt.Appendf(nil, "%d", i)})
	}
	return files
}

var config = Config{Label: "test", UUID: [16]byte{1, 2, 3}, Time: time.Unix(1700000000, 0)}

func write(t *testing.T, files []File) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := Write(&b, files, config)
	if err != nil || n != int64(b.Len()) || n%blockSize != 0 {
		t.Fatalf("%d bytes of %d: %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	files := example(t)
	a := write(t, files)
	slices.Reverse(files)
	if !bytes.Equal(a, write(t, files)) {
		t.Error("the same files in another order give other bytes")
	}
}

// TestForeignReader has the format's own tools check an image and read everything in it.
func TestForeignReader(t *testing.T) {
	fsck, err := exec.LookPath("fsck.erofs")
	if err != nil {
		t.Skip("fsck.erofs (Debian package erofs-utils) is not installed")
	}
	dir := t.TempDir()
	img, out := filepath.Join(dir, "img"), filepath.Join(dir, "out")
	files := example(t)
	if err := os.WriteFile(img, write(t, files), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(fsck, "--extract="+out, "--no-preserve", img).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for _, f := range files {
		p := filepath.Join(out, f.Name)
		st, err := os.Lstat(p)
		if err != nil {
			t.Error(err)
			continue
		}
		switch {
		case f.Dir:
			if !st.IsDir() {
				t.Errorf("%s is %v", f.Name, st.Mode())
			}
		case f.Link != "":
			if got, err := os.Readlink(p); got != f.Link {
				t.Errorf("%s leads to %q, %v", f.Name, got, err)
			}
		default:
			want := f.Data
			if f.Path != "" {
				want, _ = os.ReadFile(f.Path)
			}
			if got, err := os.ReadFile(p); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes instead of %d, %v", f.Name, len(got), len(want), err)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	for name, files := range map[string][]File{
		"twice":         {{Name: "a"}, {Name: "./a"}},
		"file as dir":   {{Name: "a"}, {Name: "a/b"}},
		"link as dir":   {{Name: "a", Link: "b"}, {Name: "a/b"}},
		"dir as file":   {{Name: "a/b"}, {Name: "a"}},
		"root":          {{Name: "/"}},
		"NUL":           {{Name: "a\x00b"}},
		"long name":     {{Name: strings.Repeat("n", 256)}},
		"missing":       {{Name: "a", Path: "/nonexistent"}},
		"not a regular": {{Name: "a", Path: "/dev/null"}},
	} {
		if _, err := Write(&bytes.Buffer{}, files, config); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Write(&bytes.Buffer{}, nil, Config{Label: "seventeen letters"}); err == nil {
		t.Error("a long label: no error")
	}
}
