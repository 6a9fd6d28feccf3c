package chain_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
)

// TestNames follows names of all kinds from a child that is named by a relative path and by an absolute one.
func TestNames(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	opened := errors.New("opened")
	for _, c := range []struct{ name, want string }{
		{"p.raw", "d/p.raw"},
		{"deep/p.raw", "d/deep/p.raw"},
		{"../p.raw", ""},
		{"/etc/passwd", ""},
		{here + "/d/p.raw", "d/p.raw"},
		{here + "/d/../p.raw", ""},
		{here + "/d", "d"}, // a folder, which no format opens
		{here + "/dd/p.raw", ""},
		{"deep/../../p.raw", ""},
	} {
		for _, folder := range []string{"d", filepath.Join(here, "d")} {
			got := ""
			_, err := chain.Link{Child: filepath.Join(folder, "c.raw"), Names: []string{c.name}}.Open(disk.OpenOptions{
				Parents: func(path string, o disk.OpenOptions) (disk.Image, error) {
					if got = path; filepath.IsAbs(got) {
						got, _ = filepath.Rel(here, got)
					}
					if o.Within != folder || !o.ReadOnly {
						t.Errorf("%s: opened with %+v", path, o)
					}
					return nil, opened
				},
			})
			if got != c.want || c.want == "" && !errors.Is(err, disk.ErrOutside) || c.want != "" && !errors.Is(err, opened) {
				t.Errorf("%s from %s: %q, %v; want %q", c.name, folder, got, err, c.want)
			}
		}
	}
}

// TestManyNames has a chain in which each image gives two names for its parent, of which both lead to it, and the last one's is missing: no parent is opened
// again and again.
func TestManyNames(t *testing.T) {
	opens := 0
	var open func(path string, o disk.OpenOptions) (disk.Image, error)
	open = func(path string, o disk.OpenOptions) (disk.Image, error) {
		if opens++; opens > 1000 {
			return nil, errors.New("enough")
		}
		if len(o.Children) == 20 {
			return nil, fs.ErrNotExist
		}
		next := strconv.Itoa(len(o.Children))
		return chain.Link{Child: path, Names: []string{next, "sub/../" + next}, Own: open}.Open(o)
	}
	if _, err := open(filepath.Join(t.TempDir(), "disk"), disk.OpenOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if opens > 50 {
		t.Errorf("%d images were opened", opens)
	}
}
