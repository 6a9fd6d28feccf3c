package tools_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

// pairs runs test for every format over every format that it takes as a parent.
func pairs(t *testing.T, test func(t *testing.T, above, below formats.Format)) {
	for _, below := range formats.All() {
		for _, above := range formats.All() {
			if overlays(above.Name, below.Name) {
				t.Run(above.Name+" over "+below.Name, func(t *testing.T) {
					t.Parallel()
					test(t, above, below)
				})
			}
		}
	}
}

// The sizes of disks in the tests of chains, and in those that cut the power many times.
const (
	pairSize  = 5*mib + 3*512
	crashSize = mib/2 + 3*512
)

// pair makes an image of size bytes with content, a child of it that holds more, and returns what both hold. Files may be nil.
func pair(t testing.TB, folder string, above, below formats.Format, size int, files disk.Files) (child, parent string, upper, lower []byte) {
	t.Helper()
	child, parent = in(folder, "child"+above.Extensions[0]), in(folder, "parent"+below.Extensions[0])
	lower = mixed(size, 3)
	must(t, formats.Create(parent, disk.CreateOptions{Size: int64(size), Files: files}))
	edit(t, parent, files, func(i disk.Image) {
		for at := 0; at < size; at += 64 << 10 {
			p := lower[at:min(at+64<<10, size)]
			if at/(64<<10)%5 == 2 { // leave some holes
				clear(p)
				continue
			}
			_, err := i.WriteAt(p, int64(at))
			must(t, err)
		}
	})
	upper = bytes.Clone(lower)
	must(t, formats.Create(child, disk.CreateOptions{Parent: parent, Files: files}))
	scribble(t, child, files, upper, 1)
	return child, parent, upper, lower
}

// edit opens an image for writing.
func edit(t testing.TB, path string, files disk.Files, fn func(disk.Image)) {
	t.Helper()
	i, err := formats.Open(path, disk.OpenOptions{Files: files})
	must(t, err)
	fn(i)
	must(t, i.Close())
}

// scribble writes data and zeroes of all lengths to an image, and to want.
func scribble(t testing.TB, path string, files disk.Files, want []byte, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 8))
	edit(t, path, files, func(i disk.Image) {
		for range 24 {
			off := rng.IntN(len(want))
			part := want[off:min(len(want), off+1+rng.IntN([]int{600, 70_000, 300_000}[rng.IntN(3)]))]
			if rng.IntN(3) == 0 {
				clear(part)
				must(t, i.WriteZeroes(int64(off), int64(len(part)), rng.IntN(2) == 0))
				continue
			}
			for k := range part {
				part[k] = byte(rng.Uint32())
			}
			_, err := i.WriteAt(part, int64(off))
			must(t, err)
		}
	})
}

// reads fails unless the image at path reads as want.
func reads(t testing.TB, path string, want []byte) {
	t.Helper()
	if got := content(t, path, disk.OpenOptions{}); !bytes.Equal(got, want) {
		t.Errorf("%s: of %d bytes %d are as they should be", path, len(got), prefix(got, want))
	}
}

// prefix is how many bytes a and b begin with in common.
func prefix(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// sound fails if a check has anything to say.
func sound(t testing.TB, path string) {
	t.Helper()
	r, err := tools.Check(path, disk.OpenOptions{})
	if err != nil || len(r.Problems) > 0 {
		t.Errorf("%s: %+v, %v", path, r, err)
	}
}

// ownBytes is how much an image stores itself.
func ownBytes(t testing.TB, path string) (n int64) {
	t.Helper()
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
	must(t, err)
	defer i.Close()
	must(t, tools.Map(t.Context(), i, func(e disk.Extent) error {
		if e.Depth == 0 && e.Kind != disk.Hole {
			n += e.Length
		}
		return nil
	}))
	return n
}

// hashes are the contents of all files in a folder.
func hashes(t testing.TB, folder string) map[string]string {
	t.Helper()
	list, err := os.ReadDir(folder)
	must(t, err)
	m := map[string]string{}
	for _, e := range list {
		p, err := os.ReadFile(in(folder, e.Name()))
		must(t, err)
		m[e.Name()] = string(p)
	}
	return m
}

func unchanged(t testing.TB, folder string, before map[string]string) {
	t.Helper()
	for name, p := range hashes(t, folder) {
		if before[name] != p {
			t.Errorf("%s was changed", name)
		}
	}
}

// TestCommit commits every format to every format.
func TestCommit(t *testing.T) {
	pairs(t, func(t *testing.T, above, below formats.Format) {
		d := dir(t)
		child, parent, want, _ := pair(t, d, above, below, pairSize, nil)
		before := hashes(t, d)
		r, err := tools.Commit(t.Context(), child, tools.CommitOptions{DryRun: true})
		must(t, err)
		if moved := ownBytes(t, child); r.Moved != moved || moved == 0 || r.Parent != parent || r.Size != pairSize {
			t.Errorf("dry run: %+v, want %d bytes", r, moved)
		}
		unchanged(t, d, before)

		var last int64
		r, err = tools.Commit(t.Context(), child, tools.CommitOptions{Progress: func(done, total int64) {
			if done < last || total != pairSize {
				t.Errorf("progress %d of %d after %d", done, total, last)
			}
			last = done
		}})
		must(t, err)
		if last != pairSize || len(r.Removed)+len(r.Broken)+len(r.Relinked) > 0 || r.Grown {
			t.Errorf("%+v, progress %d", r, last)
		}
		reads(t, parent, want)
		reads(t, child, want)
		sound(t, parent)
		sound(t, child)
		only(t, d, filepath.Base(child), filepath.Base(parent))
		if n := ownBytes(t, child); n != 0 {
			t.Errorf("the child still stores %d bytes", n)
		}

		scribble(t, child, nil, want, 2) // it can be written on
		r, err = tools.Commit(t.Context(), child, tools.CommitOptions{Delete: true})
		must(t, err)
		if !slices.Equal(r.Removed, []string{child}) {
			t.Errorf("%+v", r)
		}
		reads(t, parent, want)
		sound(t, parent)
		only(t, d, filepath.Base(parent))
	})
}

// TestCommitInterrupted cancels a commit at many moments, and then lets one through.
func TestCommitInterrupted(t *testing.T) {
	pairs(t, func(t *testing.T, above, below formats.Format) {
		d := dir(t)
		child, parent, want, _ := pair(t, d, above, below, pairSize, nil)
		for n := range 6 {
			ctx, p := canceledAt(t, int64(n), 8)
			if _, err := tools.Commit(ctx, child, tools.CommitOptions{Progress: p}); !errors.Is(err, context.Canceled) {
				t.Fatalf("canceled at %d/8: %v", n, err)
			}
			reads(t, child, want)
		}
		_, err := tools.Commit(t.Context(), child, tools.CommitOptions{})
		must(t, err)
		reads(t, child, want)
		reads(t, parent, want)
	})
}

// canceledAt returns a context and a progress that cancels it once n of parts are done.
func canceledAt(t testing.TB, n, parts int64) (context.Context, tools.Progress) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, func(done, total int64) {
		if done*parts >= total*n {
			cancel()
		}
	}
}

// TestCommitCrash cuts the power at each sync of a commit and in between. The child then reads as before, or says that it does not fit its parent;
// in either case a second commit completes the first.
func TestCommitCrash(t *testing.T) {
	pairs(t, func(t *testing.T, above, below formats.Format) {
		for _, del := range []bool{false, true} {
			rec := disktest.NewRecorder()
			child, parent, want, _ := pair(t, "d", above, below, crashSize, rec)
			rec.Settle()
			_, err := tools.Commit(t.Context(), child, tools.CommitOptions{Delete: del, Open: disk.OpenOptions{Files: rec}})
			must(t, err)
			stale := 0
			states, err := rec.Crashes(rand.New(rand.NewPCG(1, 2)), 32, func(_ int, left *disktest.Recorder) error {
				o := disk.OpenOptions{Files: left}
				got, err := contents(child, o)
				switch {
				case errors.Is(err, disk.ErrStaleParent):
					stale++
				case errors.Is(err, os.ErrNotExist) && del:
					return agree(parent, o, want)
				case err != nil:
					return err
				case !bytes.Equal(got, want):
					return errors.New("the child reads otherwise")
				}
				if _, err := tools.Commit(t.Context(), child, tools.CommitOptions{Delete: del, Open: o}); err != nil {
					return err
				}
				names, err := left.List("d")
				must(t, err)
				if !del {
					err = agree(child, o, want)
					names = names[1:]
				}
				if len(names) != 1 {
					t.Errorf("%q are left", names)
				}
				return errors.Join(err, agree(parent, o, want))
			})
			if err != nil {
				t.Errorf("delete %v: %v", del, err)
			}
			t.Logf("delete %v: %d crashes, %d of them between the parent's new identity and the end", del, states, stale)
		}
	})
}

// TestCommitCrashFamily does the same to the middle of a chain, whose top must be linked anew.
func TestCommitCrashFamily(t *testing.T) {
	for _, f := range formats.All() {
		if !overlays(f.Name, f.Name) {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			rec := disktest.NewRecorder()
			child, parent, middle, _ := pair(t, "d", f, f, crashSize, rec)
			top, want := in("d", "top"+f.Extensions[0]), bytes.Clone(middle)
			must(t, formats.Create(top, disk.CreateOptions{Parent: child, Files: rec}))
			scribble(t, top, rec, want, 6)
			rec.Settle()
			_, err := tools.Commit(t.Context(), child, tools.CommitOptions{Delete: true, Open: disk.OpenOptions{Files: rec}})
			must(t, err)
			_, err = rec.Crashes(rand.New(rand.NewPCG(1, 2)), 32, func(_ int, left *disktest.Recorder) error {
				o := disk.OpenOptions{Files: left}
				if err := agree(top, o, want); err != nil && !errors.Is(err, disk.ErrStaleParent) {
					return err
				}
				// A VHD is known by its file's date, which the recorder does not keep, so that nothing tells top from an image that has always been there.
				_, err := tools.Commit(t.Context(), child, tools.CommitOptions{Delete: true, Force: f.Name == "vhd", Open: o})
				if err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
				return errors.Join(agree(parent, o, middle), agree(top, o, want))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// contents is content with an error.
func contents(path string, o disk.OpenOptions) ([]byte, error) {
	o.ReadOnly = true
	i, err := formats.Open(path, o)
	if err != nil {
		return nil, err
	}
	defer i.Close()
	p := make([]byte, i.Size())
	_, err = i.ReadAt(p, 0)
	return p, err
}

func agree(path string, o disk.OpenOptions, want []byte) error {
	got, err := contents(path, o)
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New(path + " reads otherwise")
	}
	return err
}

// TestCommitGrows has children that are larger than their parents.
func TestCommitGrows(t *testing.T) {
	pairs(t, func(t *testing.T, above, below formats.Format) {
		d := dir(t)
		parent, child := in(d, "parent"+below.Extensions[0]), in(d, "child"+above.Extensions[0])
		want := append(mixed(mib, 1), make([]byte, 2*mib)...)
		image(t, parent, want[:mib], disk.CreateOptions{})
		must(t, formats.Create(child, disk.CreateOptions{Parent: parent, Size: 3 * mib}))
		copy(want[2*mib:], "far out")
		write(t, child, want[2*mib:2*mib+512], 2*mib)
		r, err := tools.Commit(t.Context(), child, tools.CommitOptions{})
		must(t, err)
		if !r.Grown {
			t.Errorf("%+v", r)
		}
		reads(t, parent, want)
		reads(t, child, want)
		sound(t, parent)
	})
}

// TestCommitVariants commits to every variant of every format.
func TestCommitVariants(t *testing.T) {
	for _, f := range formats.All() {
		for _, v := range f.Variants {
			t.Run(f.Name+" "+v, func(t *testing.T) {
				t.Parallel()
				d := dir(t)
				want := mixed(3*mib, 1)
				parent := image(t, in(d, "parent"+f.Extensions[0]), want, disk.CreateOptions{Variant: v})
				for _, name := range []string{"child" + f.Extensions[0], "child.qcow2"} {
					if f.Name == "vdi" {
						name = "child.vmdk"
					}
					child := overlay(t, d, name, filepath.Base(parent))
					scribble(t, child, nil, want, 2)
					_, err := tools.Commit(t.Context(), child, tools.CommitOptions{})
					must(t, err)
					reads(t, parent, want)
					reads(t, child, want)
					sound(t, parent)
					must(t, os.Remove(child))
				}
			})
		}
	}
}

// TestCommitGrowsCrash cuts the power while a parent grows and takes what its child holds.
func TestCommitGrowsCrash(t *testing.T) {
	pairs(t, func(t *testing.T, above, below formats.Format) {
		if overlays(below.Name, below.Name) && above.Name != below.Name || above.Name == "qcow2" && below.Name != "qcow2" {
			return // each kind of parent once
		}
		rec := disktest.NewRecorder()
		parent, child := in("d", "parent"+below.Extensions[0]), in("d", "child"+above.Extensions[0])
		const size = 4 * mib
		want := make([]byte, size)
		must(t, formats.Create(parent, disk.CreateOptions{Size: crashSize, Files: rec}))
		scribble(t, parent, rec, want[:crashSize], 1)
		must(t, formats.Create(child, disk.CreateOptions{Parent: parent, Size: size, Files: rec}))
		scribble(t, child, rec, want, 2)
		rec.Settle()
		_, err := tools.Commit(t.Context(), child, tools.CommitOptions{Open: disk.OpenOptions{Files: rec}})
		must(t, err)
		_, err = rec.Crashes(rand.New(rand.NewPCG(1, 2)), 64, func(_ int, left *disktest.Recorder) error {
			o := disk.OpenOptions{Files: left}
			if err := agree(child, o, want); err != nil && !errors.Is(err, disk.ErrStaleParent) {
				return err
			}
			if _, err := tools.Commit(t.Context(), child, tools.CommitOptions{Open: o}); err != nil {
				return err
			}
			return errors.Join(agree(child, o, want), agree(parent, o, want))
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestCommitSmaller has a child that is smaller than its parent.
func TestCommitSmaller(t *testing.T) {
	d := dir(t)
	want := mixed(3*mib, 1)
	parent, child := image(t, in(d, "parent.vmdk"), want, disk.CreateOptions{}), in(d, "child.qcow2")
	must(t, formats.Create(child, disk.CreateOptions{Parent: parent, Size: mib}))
	scribble(t, child, nil, want[:mib], 3)
	r, err := tools.Commit(t.Context(), child, tools.CommitOptions{})
	must(t, err)
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "2097152 bytes more") {
		t.Errorf("%+v", r)
	}
	reads(t, parent, want)
	reads(t, child, want[:mib])
}

// TestCommitFamily commits the middle of a chain, with images around it.
func TestCommitFamily(t *testing.T) {
	d := dir(t)
	bottom := image(t, in(d, "bottom.vmdk"), mixed(3*mib, 1), disk.CreateOptions{})
	want := content(t, bottom, disk.OpenOptions{})
	lower := bytes.Clone(want)
	for _, name := range []string{"sister.vmdk", "low.vmdk"} {
		must(t, formats.Create(in(d, name), disk.CreateOptions{Parent: bottom}))
	}
	scribble(t, in(d, "low.vmdk"), nil, want, 2)
	must(t, formats.Create(in(d, "mid.vmdk"), disk.CreateOptions{Parent: in(d, "low.vmdk"), Variant: "twoGbMaxExtentSparse"}))
	scribble(t, in(d, "mid.vmdk"), nil, want, 3)
	tops := map[string][]byte{}
	for k, name := range []string{"top.vmdk", "top.qcow2"} {
		must(t, formats.Create(in(d, name), disk.CreateOptions{Parent: in(d, "mid.vmdk")}))
		tops[name] = bytes.Clone(want)
		scribble(t, in(d, name), nil, tops[name], uint64(4+k))
	}
	before := hashes(t, d)
	if _, err := tools.Commit(t.Context(), in(d, "mid.vmdk"), tools.CommitOptions{}); !errors.Is(err, tools.ErrAbove) || !strings.Contains(err.Error(), "top.") {
		t.Errorf("with images above and without Delete: %v", err)
	}
	if _, err := tools.Commit(t.Context(), in(d, "low.vmdk"), tools.CommitOptions{Delete: true}); !errors.Is(err, tools.ErrBeside) || !strings.Contains(err.Error(), "sister.vmdk") {
		t.Errorf("with a sister: %v", err)
	}
	busy, err := formats.Open(in(d, "top.vmdk"), disk.OpenOptions{Alone: true})
	must(t, err)
	if _, err := tools.Commit(t.Context(), in(d, "mid.vmdk"), tools.CommitOptions{Delete: true}); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("with a child in use: %v", err)
	}
	must(t, busy.Close())
	unchanged(t, d, before)

	r, err := tools.Commit(t.Context(), in(d, "mid.vmdk"), tools.CommitOptions{Delete: true})
	must(t, err)
	if len(r.Relinked) != 2 || !slices.Equal(r.Removed, []string{in(d, "mid.vmdk"), in(d, "mid-s001.vmdk")}) {
		t.Errorf("%+v", r)
	}
	only(t, d, "bottom.vmdk", "low.vmdk", "sister.vmdk", "top.qcow2", "top.vmdk")
	for name, want := range tops {
		reads(t, in(d, name), want)
		based(t, in(d, name), in(d, "low.vmdk"))
	}
	reads(t, in(d, "low.vmdk"), want)
	reads(t, in(d, "sister.vmdk"), lower)

	must(t, os.Remove(in(d, "top.qcow2")))
	must(t, os.Remove(in(d, "top.vmdk")))
	r, err = tools.Commit(t.Context(), in(d, "low.vmdk"), tools.CommitOptions{Delete: true, Force: true})
	must(t, err)
	if !slices.Equal(r.Broken, []string{in(d, "sister.vmdk")}) {
		t.Errorf("%+v", r)
	}
	reads(t, bottom, want)
	if _, err := formats.Open(in(d, "sister.vmdk"), disk.OpenOptions{ReadOnly: true}); !errors.Is(err, disk.ErrStaleParent) {
		t.Errorf("the sister does not notice: %v", err)
	}
}

// TestCommitParts empties a child in several files.
func TestCommitParts(t *testing.T) {
	d := dir(t)
	parent, child := image(t, in(d, "parent.vmdk"), mixed(mib, 1), disk.CreateOptions{Variant: "twoGbMaxExtentFlat"}), in(d, "child.vmdk")
	want := content(t, parent, disk.OpenOptions{})
	must(t, formats.Create(child, disk.CreateOptions{Parent: parent, Variant: "twoGbMaxExtentSparse"}))
	scribble(t, child, nil, want, 4)
	_, err := tools.Commit(t.Context(), child, tools.CommitOptions{})
	must(t, err)
	reads(t, parent, want)
	reads(t, child, want)
	only(t, d, "child.vmdk", "parent-f001.vmdk", "parent.vmdk")
}

// TestCommitRefused has what cannot be committed; nothing may be changed.
func TestCommitRefused(t *testing.T) {
	d := dir(t)
	child, parent, _, _ := pair(t, d, find(t, "vmdk"), find(t, "vmdk"), pairSize, nil)
	iso := in(d, "cd.iso")
	must(t, os.Rename(image(t, in(d, "cd.raw"), mixed(mib, 1), disk.CreateOptions{}), iso))
	must(t, formats.Create(in(d, "over.qcow2"), disk.CreateOptions{Parent: iso}))
	must(t, os.Symlink("child.vmdk", in(d, "link.vmdk")))
	stale, staleParent := in(d, "stale.vmdk"), image(t, in(d, "moved-on.vmdk"), mixed(mib, 1), disk.CreateOptions{})
	must(t, formats.Create(stale, disk.CreateOptions{Parent: staleParent}))
	scribble(t, stale, nil, make([]byte, mib), 4)
	scribble(t, staleParent, nil, make([]byte, mib), 5)
	before := hashes(t, d)
	for _, c := range []struct {
		path string
		is   error
		says string
	}{
		{parent, nil, "based on no other image"},
		{in(d, "over.qcow2"), disk.ErrReadOnly, "cd.iso"},
		{in(d, "link.vmdk"), nil, "symbolic link"},
		{stale, disk.ErrStaleParent, "moved-on.vmdk"},
		{in(d, "none.vmdk"), os.ErrNotExist, "none.vmdk"},
	} {
		_, err := tools.Commit(t.Context(), c.path, tools.CommitOptions{})
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", c.path, err)
		}
	}
	for _, path := range []string{child, parent} {
		busy, err := formats.Open(path, disk.OpenOptions{ReadOnly: path == parent})
		must(t, err)
		if _, err := tools.Commit(t.Context(), child, tools.CommitOptions{}); !errors.Is(err, disk.ErrLocked) {
			t.Errorf("with %s in use: %v", path, err)
		}
		must(t, busy.Close())
	}
	unchanged(t, d, before)
}

// TestInternalSnapshots has a child that keeps snapshots in its own file, which neither a commit nor a rebase may harm.
func TestInternalSnapshots(t *testing.T) {
	qemu := disktest.FindTool(t, "qemu-img", "qemu-utils")
	d := dir(t)
	child, parent, want, _ := pair(t, d, find(t, "qcow2"), find(t, "qcow2"), pairSize, nil)
	qemu.Run("snapshot", "-c", "precious", child)
	before := hashes(t, d)
	_, commit := tools.Commit(t.Context(), child, tools.CommitOptions{})
	_, flatten := tools.Flatten(t.Context(), child, tools.RebaseOptions{})
	_, rebase := tools.Rebase(t.Context(), child, parent, tools.RebaseOptions{})
	for _, err := range []error{commit, flatten, rebase} {
		if !errors.Is(err, disk.ErrUnsupported) || !strings.Contains(err.Error(), "precious") {
			t.Errorf("%v, want a refusal that names the snapshot", err)
		}
	}
	unchanged(t, d, before)
	qemu.Run("snapshot", "-d", "precious", child)
	_, err := tools.Commit(t.Context(), child, tools.CommitOptions{})
	must(t, err)
	reads(t, parent, want)
}

func find(t testing.TB, name string) formats.Format {
	t.Helper()
	f, err := formats.Find("", name)
	must(t, err)
	return f
}
