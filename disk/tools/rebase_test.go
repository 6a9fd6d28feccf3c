package tools_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

// other makes an image that is like lower in parts, and returns its path and what it holds.
func other(t testing.TB, folder, name string, lower []byte, size int, files disk.Files) (string, []byte) {
	t.Helper()
	path, held := in(folder, name), make([]byte, size)
	must(t, formats.Create(path, disk.CreateOptions{Size: int64(size), Files: files}))
	edit(t, path, files, func(i disk.Image) {
		for at := 0; at < min(size, len(lower)); at += 512 << 10 { // each other 256 KiB are as they were
			p := lower[at:min(at+256<<10, size, len(lower))]
			if len(bytes.Trim(p, "\x00")) == 0 {
				continue
			}
			copy(held[at:], p)
			_, err := i.WriteAt(p, int64(at))
			must(t, err)
		}
	})
	scribble(t, path, files, held, 77)
	return path, held
}

// based fails unless the image at path has that parent.
func based(t testing.TB, path, parent string) {
	t.Helper()
	i, err := formats.Open(path, disk.OpenOptions{ReadOnly: true})
	must(t, err)
	defer i.Close()
	if got := i.Info().Parent; (got == "") != (parent == "") || parent != "" && !samePlace(got, parent) {
		t.Errorf("%s is based on %q, want %q", path, got, parent)
	}
}

// TestRebase bases every format on another image of every format, smaller and larger ones.
func TestRebase(t *testing.T) {
	pairs(t, func(t *testing.T, above, below formats.Format) {
		for _, size := range []int{pairSize, pairSize - mib, pairSize + mib} {
			if above.Name == "vhd" && size != pairSize {
				continue // has its parent's size
			}
			d := dir(t)
			child, parent, want, lower := pair(t, d, above, below, pairSize, nil)
			next, held := other(t, d, "next"+below.Extensions[0], lower, size, nil)
			before := hashes(t, d)
			guess, err := tools.Rebase(t.Context(), child, next, tools.RebaseOptions{DryRun: true})
			must(t, err)
			unchanged(t, d, before)
			r, err := tools.Rebase(t.Context(), child, next, tools.RebaseOptions{})
			must(t, err)
			if r.Written == 0 || r.Written > guess.Written+mib || !samePlace(r.Parent, parent) {
				t.Errorf("%+v, after a dry run %+v", r, guess)
			}
			based(t, child, next)
			reads(t, child, want)
			sound(t, child)
			must(t, os.Remove(parent))
			reads(t, child, want)
			scribble(t, child, nil, want, 5)
			reads(t, child, want)
			reads(t, next, held)
		}
	})
}

// TestFlatten has every format store all that it reads.
func TestFlatten(t *testing.T) {
	pairs(t, func(t *testing.T, above, below formats.Format) {
		d := dir(t)
		child, parent, want, lower := pair(t, d, above, below, pairSize, nil)
		r, err := tools.Flatten(t.Context(), child, tools.RebaseOptions{})
		must(t, err)
		if r.Written == 0 || r.Written > pairSize {
			t.Errorf("%+v", r)
		}
		based(t, child, "")
		reads(t, parent, lower)
		must(t, os.Remove(parent))
		reads(t, child, want)
		sound(t, child)
		scribble(t, child, nil, want, 5)
		reads(t, child, want)
		if r, err := tools.Flatten(t.Context(), child, tools.RebaseOptions{}); err != nil || r.Written != 0 || r.Parent != "" {
			t.Errorf("again: %+v, %v", r, err)
		}
	})
}

// TestRebaseMiddle flattens and rebases an image that others are based on: they must still know it.
func TestRebaseMiddle(t *testing.T) {
	pairs(t, func(t *testing.T, above, below formats.Format) {
		for _, flat := range []bool{true, false} {
			d := dir(t)
			middle, _, want, lower := pair(t, d, above, below, pairSize, nil)
			top := in(d, "top"+above.Extensions[0])
			must(t, formats.Create(top, disk.CreateOptions{Parent: middle}))
			var r *tools.Rebased
			var err error
			if flat {
				r, err = tools.Flatten(t.Context(), middle, tools.RebaseOptions{})
			} else {
				next, _ := other(t, d, "next"+below.Extensions[0], lower, pairSize, nil)
				r, err = tools.Rebase(t.Context(), middle, next, tools.RebaseOptions{})
			}
			must(t, err)
			if r.Written == 0 {
				t.Errorf("nothing was copied up: %+v", r)
			}
			reads(t, top, want)
			sound(t, top)
		}
	})
}

// TestFlattenSparse checks that holes stay holes.
func TestFlattenSparse(t *testing.T) {
	pairs(t, func(t *testing.T, above, below formats.Format) {
		d := dir(t)
		parent, child := in(d, "parent"+below.Extensions[0]), in(d, "child"+above.Extensions[0])
		must(t, formats.Create(parent, disk.CreateOptions{Size: 512 * mib}))
		write(t, parent, bytes.Repeat([]byte{1}, 64<<10), 300*mib)
		must(t, formats.Create(child, disk.CreateOptions{Parent: parent}))
		r, err := tools.Flatten(t.Context(), child, tools.RebaseOptions{})
		must(t, err)
		if r.Written > 128<<10 {
			t.Errorf("%+v", r)
		}
		i := open(t, child)
		var data int64
		must(t, tools.Map(t.Context(), i, func(e disk.Extent) error {
			if e.Kind == disk.Data {
				data += e.Length
			}
			return nil
		}))
		if data > 4*mib {
			t.Errorf("%d bytes are stored", data)
		}
	})
}

// TestRebaseInterrupted cancels at many moments, and then lets one through.
func TestRebaseInterrupted(t *testing.T) {
	pairs(t, func(t *testing.T, above, below formats.Format) {
		d := dir(t)
		child, parent, want, lower := pair(t, d, above, below, pairSize, nil)
		next, _ := other(t, d, "next"+below.Extensions[0], lower, pairSize, nil)
		for n := range int64(6) {
			ctx, p := canceledAt(t, n, 8)
			if _, err := tools.Rebase(ctx, child, next, tools.RebaseOptions{Progress: p}); !errors.Is(err, context.Canceled) {
				t.Fatalf("canceled at %d/8: %v", n, err)
			}
			based(t, child, parent)
			reads(t, child, want)
			sound(t, child)
		}
		_, err := tools.Rebase(t.Context(), child, next, tools.RebaseOptions{})
		must(t, err)
		based(t, child, next)
		reads(t, child, want)
	})
}

// TestRebaseCrash cuts the power at each sync of a rebase or flattening, and in between: the child reads as before.
func TestRebaseCrash(t *testing.T) {
	pairs(t, func(t *testing.T, above, below formats.Format) {
		for _, flatten := range []bool{false, true} {
			rec := disktest.NewRecorder()
			child, parent, want, lower := pair(t, "d", above, below, crashSize, rec)
			next, held := other(t, "d", "next"+below.Extensions[0], lower, crashSize, rec)
			work := func(files disk.Files) error {
				o := tools.RebaseOptions{Open: disk.OpenOptions{Files: files}}
				if flatten {
					_, err := tools.Flatten(t.Context(), child, o)
					return err
				}
				_, err := tools.Rebase(t.Context(), child, next, o)
				return err
			}
			rec.Settle()
			must(t, work(rec))
			states, err := rec.Crashes(rand.New(rand.NewPCG(1, 2)), 32, func(_ int, left *disktest.Recorder) error {
				o := disk.OpenOptions{Files: left}
				for path, want := range map[string][]byte{child: want, parent: lower, next: held} {
					if err := agree(path, o, want); err != nil {
						return err
					}
				}
				if err := work(left); err != nil {
					return err
				}
				must(t, left.Remove(parent))
				return agree(child, o, want)
			})
			if err != nil {
				t.Errorf("flatten %v: %v", flatten, err)
			}
			t.Logf("flatten %v: %d crashes", flatten, states)
		}
	})
}

// TestRelink moves parents away from their children.
func TestRelink(t *testing.T) {
	pairs(t, func(t *testing.T, above, below formats.Format) {
		d := dir(t)
		child, parent, want, _ := pair(t, d, above, below, pairSize, nil)
		must(t, os.Mkdir(in(d, "bases"), 0o700))
		moved := in(d, "bases/moved"+below.Extensions[0])
		must(t, os.Rename(parent, moved))
		if _, err := contents(child, disk.OpenOptions{}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("without its parent: %v", err)
		}
		unrelated := image(t, in(d, "unrelated"+below.Extensions[0]), mixed(pairSize, 9), disk.CreateOptions{})
		known := above.Name != "qcow2" && below.Name != "qcow2" && below.Name != "raw"
		_, err := tools.Relink(t.Context(), child, unrelated, tools.RebaseOptions{DryRun: true})
		if known != errors.Is(err, disk.ErrStaleParent) {
			t.Errorf("to an unrelated image: %v", err)
		}
		r, err := tools.Relink(t.Context(), child, moved, tools.RebaseOptions{})
		must(t, err)
		if known != (len(r.Warnings) == 0) || filepath.Base(r.Parent) != filepath.Base(parent) || r.Written != 0 {
			t.Errorf("%+v", r)
		}
		based(t, child, moved)
		reads(t, child, want)
	})
}

// TestRebaseRefused has what cannot be done; nothing may be changed.
func TestRebaseRefused(t *testing.T) {
	d := dir(t)
	child, parent, _, _ := pair(t, d, find(t, "vmdk"), find(t, "vmdk"), pairSize, nil)
	top := in(d, "top.qcow2")
	must(t, formats.Create(top, disk.CreateOptions{Parent: child}))
	vhd := image(t, in(d, "a.vhd"), mixed(mib, 1), disk.CreateOptions{})
	vdi := image(t, in(d, "a.vdi"), mixed(mib, 1), disk.CreateOptions{})
	before := hashes(t, d)
	for _, c := range []struct {
		path, parent string
		relink       bool
		is           error
		says         string
	}{
		{child, child, false, nil, "on itself"},
		{child, child, true, nil, "on itself"},
		{child, top, false, disk.ErrCorrupt, "circle"},
		{vhd, parent, false, disk.ErrUnsupported, "must be a VHD"},
		{vdi, parent, false, disk.ErrUnsupported, ""},
		{child, in(d, "none.vmdk"), false, os.ErrNotExist, "none.vmdk"},
		{in(d, "none.vmdk"), parent, false, os.ErrNotExist, "none.vmdk"},
		{parent, vhd, true, nil, "based on no image"},
	} {
		work := tools.Rebase
		if c.relink {
			work = tools.Relink
		}
		_, err := work(t.Context(), c.path, c.parent, tools.RebaseOptions{})
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s on %s: %v", c.path, c.parent, err)
		}
	}
	unchanged(t, d, before)
}
