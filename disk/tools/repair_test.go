package tools_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/disk/undo"
)

// spoiled makes a VHD whose last footer is gone, of which there is a copy at the start.
func spoiled(t testing.TB) (dir_, path string, want []byte) {
	t.Helper()
	d := dir(t)
	want = mixed(3*mib, 1)
	path = image(t, in(d, "a.vhd"), want, disk.CreateOptions{})
	p, err := os.ReadFile(path)
	must(t, err)
	clear(p[len(p)-512:])
	must(t, os.WriteFile(path, p, 0o600))
	return d, path, want
}

func TestRepair(t *testing.T) {
	d, path, want := spoiled(t)
	before := files(t, d)
	log := path + ".undo"
	dry, err := tools.Repair(t.Context(), path, tools.RepairOptions{Undo: log, DryRun: true})
	must(t, err)
	stillAs(t, d, before)
	r, err := tools.Repair(t.Context(), path, tools.RepairOptions{Undo: log})
	must(t, err)
	if len(r.Mended) == 0 || len(dry.Mended) < len(r.Mended) || r.Undo != log || r.Saved == 0 || r.Reverted != nil || len(r.After.Problems) > 0 {
		t.Fatalf("%+v; announced %+v", r, dry)
	}
	hold(t, path, want)
	if r, err := tools.Repair(t.Context(), path, tools.RepairOptions{Undo: log}); err != nil || len(r.Mended) > 0 || r.Undo != "" {
		t.Errorf("again, with nothing to do: %+v, %v", r, err)
	}
	_, err = undo.Apply(log, undo.Options{})
	must(t, err)
	must(t, os.Remove(log))
	stillAs(t, d, before)
}

func TestRepairPutsBack(t *testing.T) {
	d, path, _ := spoiled(t)
	before := files(t, d)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tools.Repair(canceled, path, tools.RepairOptions{Undo: path + ".undo"}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	stillAs(t, d, before)

	// The host fails after some writes, and the repair stays half done.
	for n := range 4 {
		left := n
		r, err := tools.Repair(t.Context(), path, tools.RepairOptions{Undo: path + ".undo", Open: disk.OpenOptions{Files: flaky{left: &left, path: path}}})
		switch {
		case err != nil:
			if !errors.Is(err, errBadSector) {
				t.Errorf("%d writes: %v", n, err)
			}
			stillAs(t, d, before)
		case r.Reverted != nil:
			if !errors.Is(r.Reverted, errBadSector) || r.Undo != "" || len(r.Mended) > 0 {
				t.Errorf("%d writes: %+v", n, r)
			}
			stillAs(t, d, before)
		case n == 0:
			t.Errorf("%+v", r)
		default:
			return // it needs no more writes
		}
	}
}

// flaky are host files of which one can be written to a few times, until the undo file puts it back.
type flaky struct {
	disk.HostFiles
	left *int
	path string
}

func (f flaky) Open(path string, o disk.FileOptions) (disk.File, error) {
	file, err := f.HostFiles.Open(path, o)
	if err != nil || path != f.path || o.Folder != "" {
		return file, err
	}
	return flakyFile{file, f.left}, nil
}

type flakyFile struct {
	disk.File
	left *int
}

func (f flakyFile) WriteAt(p []byte, off int64) (int, error) {
	if *f.left--; *f.left < 0 {
		return 0, errBadSector
	}
	return f.File.WriteAt(p, off)
}

// TestRepairBeyond has damage that no copy can mend, and an undo file of another repair.
func TestRepairBeyond(t *testing.T) {
	d, path, _ := spoiled(t)
	must(t, os.WriteFile(path+".undo", []byte("of an earlier repair"), 0o600))
	before := files(t, d)
	if _, err := tools.Repair(t.Context(), path, tools.RepairOptions{Undo: path + ".undo"}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v", err)
	}
	stillAs(t, d, before)

	garbage := in(d, "b.vhdx")
	must(t, os.WriteFile(garbage, bytes.Repeat([]byte("vhdxfile"), 1000), 0o600))
	before = files(t, d)
	r, err := tools.Repair(t.Context(), garbage, tools.RepairOptions{Undo: garbage + ".undo"})
	must(t, err)
	if worst, _ := r.After.Worst(); len(r.Mended) > 0 || r.Undo != "" || worst != disk.Damage {
		t.Errorf("%+v", r)
	}
	stillAs(t, d, before)
}
