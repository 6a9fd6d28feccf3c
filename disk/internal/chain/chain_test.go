package chain_test

import (
	"errors"
	"path/filepath"
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
