package tools_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

// drawn writes a tree in one line: a(b(c) d), with ! behind what has a problem.
func drawn(nodes []*tools.Node) string {
	var list []string
	for _, n := range nodes {
		s := filepath.Base(n.Path)
		if n.Problem != nil {
			s += "!"
		}
		if len(n.Children) > 0 {
			s += "(" + drawn(n.Children) + ")"
		}
		list = append(list, s)
	}
	return strings.Join(list, " ")
}

// overlay makes a child of an image in the same folder.
func overlay(t testing.TB, folder, child, parent string) string {
	t.Helper()
	must(t, formats.Create(in(folder, child), disk.CreateOptions{Parent: in(folder, parent)}))
	return in(folder, child)
}

func TestTree(t *testing.T) {
	d := dir(t)
	for _, name := range []string{"a.vmdk", "b.vhdx", "c.raw", "loner.vdi", "not-seen.raw"} {
		image(t, in(d, name), mixed(mib, 1), disk.CreateOptions{})
	}
	image(t, in(d, "flat.vmdk"), mixed(mib, 1), disk.CreateOptions{Variant: "monolithicFlat"})
	image(t, in(d, "split.vmdk"), mixed(mib, 1), disk.CreateOptions{Variant: "twoGbMaxExtentSparse"})
	for _, link := range []string{"a1.vmdk a.vmdk", "a2.qcow2 a1.vmdk", "a3.vmdk a1.vmdk", "b1.vhdx b.vhdx", "b2.vmdk b1.vhdx", "c1.qcow2 c.raw", "flat1.vmdk flat.vmdk"} {
		child, parent, _ := strings.Cut(link, " ")
		overlay(t, d, child, parent)
	}
	must(t, os.WriteFile(in(d, "readme.txt"), []byte("hello"), 0o600))
	must(t, os.WriteFile(in(d, "torn.vhdx"), []byte("vhdxfile"), 0o600))
	must(t, os.Mkdir(in(d, "folder.vmdk"), 0o700))
	must(t, os.Symlink("a.vmdk", in(d, "link.vmdk")))

	const all = "a.vmdk(a1.vmdk(a2.qcow2 a3.vmdk)) b.vhdx(b1.vhdx(b2.vmdk)) c.raw(c1.qcow2) flat.vmdk(flat1.vmdk) loner.vdi split.vmdk torn.vhdx!"
	roots, err := tools.Tree(t.Context(), tools.TreeOptions{Folder: d})
	must(t, err)
	if got := drawn(roots); got != all {
		t.Errorf("%s\nwant\n%s", got, all)
	}
	a := roots[0]
	if a.Format != "vmdk" || a.Size != mib || a.Used < mib/2 || len(a.Files) != 1 || len(a.Children[0].Files) != 1 || a.Children[0].Used > mib/2 {
		t.Errorf("%+v with %+v", a.Info, a.Children[0].Info)
	}
	for only, want := range map[string]string{
		"a3.vmdk": "a.vmdk(a1.vmdk(a2.qcow2 a3.vmdk))", "b.vhdx": "b.vhdx(b1.vhdx(b2.vmdk))", "not-seen.raw": "not-seen.raw", "link.vmdk": "a.vmdk(a1.vmdk(a2.qcow2 a3.vmdk))",
	} {
		roots, err := tools.Tree(t.Context(), tools.TreeOptions{Folder: d, Also: []string{in(d, only)}, Only: []string{in(d, only)}})
		if got := drawn(roots); err != nil || got != want {
			t.Errorf("only %s: %s, %v; want %s", only, got, err, want)
		}
	}
	if _, err := tools.Tree(t.Context(), tools.TreeOptions{Folder: in(d, "none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// TestTreeTroubled has parents that are missing, do not fit, lie elsewhere, or go round in a circle.
func TestTreeTroubled(t *testing.T) {
	d := dir(t)
	sub := in(d, "sub")
	must(t, os.Mkdir(sub, 0o700))
	image(t, in(d, "outside.vmdk"), mixed(mib, 1), disk.CreateOptions{})
	for _, name := range []string{"gone.vmdk", "changed.vmdk", "x.qcow2", "busy.vmdk"} {
		image(t, in(sub, name), mixed(mib, 1), disk.CreateOptions{})
	}
	overlay(t, sub, "orphan.vmdk", "gone.vmdk")
	overlay(t, sub, "grandchild.qcow2", "orphan.vmdk")
	overlay(t, sub, "stale.vmdk", "changed.vmdk")
	overlay(t, sub, "y.qcow2", "x.qcow2")
	overlay(t, sub, "z.qcow2", "y.qcow2")
	must(t, formats.Create(in(sub, "far.vmdk"), disk.CreateOptions{Parent: in(d, "outside.vmdk")}))
	must(t, os.Remove(in(sub, "gone.vmdk")))
	write(t, in(sub, "changed.vmdk"), []byte{1}, 0)
	// x gets its own grandchild as its parent.
	z, err := os.ReadFile(in(sub, "z.qcow2"))
	must(t, err)
	must(t, os.WriteFile(in(sub, "x.qcow2"), []byte(strings.Replace(string(z), "y.qcow2", "z.qcow2", 1)), 0o600))
	busy, err := formats.Open(in(sub, "busy.vmdk"), disk.OpenOptions{})
	must(t, err)
	defer busy.Close()

	roots, err := tools.Tree(t.Context(), tools.TreeOptions{Folder: sub})
	must(t, err)
	const want = "outside.vmdk!(far.vmdk!) busy.vmdk changed.vmdk(stale.vmdk!) gone.vmdk!(orphan.vmdk!(grandchild.qcow2)) x.qcow2!(y.qcow2(z.qcow2))"
	if got := drawn(roots); got != want {
		t.Fatalf("%s\nwant\n%s", got, want)
	}
	for k, want := range []error{disk.ErrOutside, nil, nil, fs.ErrNotExist, nil} {
		if err := roots[k].Problem; want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", roots[k].Path, err, want)
		}
	}
	if !roots[1].InUse || roots[2].InUse || !errors.Is(roots[2].Children[0].Problem, disk.ErrStaleParent) || !strings.Contains(roots[4].Problem.Error(), "circle") {
		t.Errorf("%+v", roots)
	}

	roots, err = tools.Tree(t.Context(), tools.TreeOptions{Folder: sub, Open: disk.OpenOptions{AllowOutside: true}, Only: []string{in(sub, "far.vmdk")}})
	if got := drawn(roots); err != nil || got != "outside.vmdk(far.vmdk)" {
		t.Errorf("%s, %v", got, err)
	}
}

// TestTreeInternal lists the snapshots inside an image.
func TestTreeInternal(t *testing.T) {
	qemu := disktest.FindTool(t, "qemu-img", "qemu-utils")
	d := dir(t)
	qemu.Run("snapshot", "-c", "one", image(t, in(d, "a.qcow2"), mixed(mib, 1), disk.CreateOptions{}))
	roots, err := tools.Tree(t.Context(), tools.TreeOptions{Folder: d})
	must(t, err)
	if len(roots) != 1 || len(roots[0].Internal) != 1 || roots[0].Internal[0].Name != "one" {
		t.Errorf("%s", fmt.Sprint(roots))
	}
}

// TestDescribeBroken tells of images whose parents are missing or do not fit.
func TestDescribeBroken(t *testing.T) {
	for _, f := range formats.All() {
		if !overlays(f.Name, f.Name) {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			d := dir(t)
			child, parent, _, _ := pair(t, d, f, f, crashSize, nil)
			top := overlay(t, d, "top"+f.Extensions[0], filepath.Base(child))
			must(t, os.Remove(parent))
			for _, path := range []string{child, top} {
				got, err := tools.Describe(path, disk.OpenOptions{})
				must(t, err)
				if !errors.Is(got.Broken, fs.ErrNotExist) || got.Size != crashSize || got.Format != f.Name || got.Parent == "" || got.Used == 0 || len(got.Chain) > 0 {
					t.Errorf("%+v", got)
				}
			}
			image(t, parent, mixed(crashSize, 8), disk.CreateOptions{})
			got, err := tools.Describe(child, disk.OpenOptions{})
			must(t, err)
			if known := f.Name != "qcow2"; known != errors.Is(got.Broken, disk.ErrStaleParent) {
				t.Errorf("above another parent: %v", got.Broken)
			}
			must(t, os.Truncate(child, 100))
			if got, err := tools.Describe(child, disk.OpenOptions{}); err == nil {
				t.Errorf("a stump: %+v", got)
			}
		})
	}
}
