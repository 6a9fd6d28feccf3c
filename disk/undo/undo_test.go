package undo_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/undo"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// before is what the files of the tests hold first.
func before() map[string][]byte {
	a := bytes.Repeat([]byte("first "), 100_000)
	copy(a[200_000:], make([]byte, 150_000))
	return map[string][]byte{"d/a": a, "d/b": bytes.Repeat([]byte{2}, 70_001), "d/empty": {}}
}

func put(files map[string][]byte) *disktest.Recorder {
	rec := disktest.NewRecorder()
	for name, p := range files {
		rec.Put(name, p)
	}
	rec.Settle()
	return rec
}

// change does all that can be done to a file, at random.
func change(t testing.TB, files disk.Files, rng *rand.Rand, steps int) {
	t.Helper()
	open := map[string]disk.File{}
	for _, name := range []string{"a", "b", "empty"} {
		f, err := files.Open(name, disk.FileOptions{Write: true, Folder: "d"})
		must(t, err)
		defer f.Close()
		open[name] = f
	}
	fresh, err := files.Open("d/new", disk.FileOptions{Write: true, Create: true})
	must(t, err)
	defer fresh.Close()
	open["new"] = fresh
	names := []string{"a", "b", "empty", "new"}
	for range steps {
		f := open[names[rng.IntN(len(names))]]
		size, err := f.Size()
		must(t, err)
		off, n := rng.Int64N(size+30_000), rng.Int64N(40_000)
		switch rng.IntN(7) {
		case 0, 1:
			_, err = f.WriteAt(bytes.Repeat([]byte{byte(rng.Uint32())}, int(n)), off)
		case 2:
			_, err = f.WritevAt([][]byte{make([]byte, n), []byte("x"), nil}, off)
		case 3:
			err = f.Truncate(off)
		case 4:
			err = f.Zero(off, n, true)
		case 5:
			err = f.Discard(off, n)
		case 6:
			err = f.Sync()
		}
		must(t, err)
	}
	for _, f := range open {
		must(t, f.Sync())
	}
}

// same expects the files to be as they were.
func same(files *disktest.Recorder, want map[string][]byte) error {
	for name, p := range want {
		if got := files.Get(name); !bytes.Equal(got, p) {
			return fmt.Errorf("%s is not as it was (%d bytes, %d before)", name, len(got), len(p))
		}
	}
	if files.Get("d/new") != nil {
		return errors.New("a file that was made is still there")
	}
	return nil
}

// TestCrash cuts the power while files are changed, and while that is taken back.
func TestCrash(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 1))
		want := before()
		rec := put(want)
		files, err := undo.New("d/undo", rec)
		must(t, err)
		change(t, files, rng, 25)
		must(t, files.Close())
		states, err := rec.Crashes(rng, 2, func(_ int, left *disktest.Recorder) error {
			if left.Get("d/undo") != nil {
				if _, err := undo.Apply("d/undo", undo.Options{Files: left}); err != nil && !errors.Is(err, disk.ErrCorrupt) {
					return err
				}
			}
			if p := left.Get("d/new"); len(p) == 0 { // made, and the power failed before that was noted
				left.Remove("d/new")
			}
			return same(left, want)
		})
		if err != nil {
			t.Fatalf("seed %d, changing: %v", seed, err)
		}
		rec.Settle()
		r, err := undo.Apply("d/undo", undo.Options{Files: rec})
		must(t, err)
		if !r.Complete || r.Bytes == 0 || len(r.Files) != 4 {
			t.Errorf("%+v", r)
		}
		must(t, same(rec, want))
		more, err := rec.Crashes(rng, 2, func(_ int, left *disktest.Recorder) error {
			if _, err := undo.Apply("d/undo", undo.Options{Files: left}); err != nil && !errors.Is(err, undo.ErrReverted) {
				return err
			}
			return same(left, want)
		})
		if err != nil {
			t.Fatalf("seed %d, putting back: %v", seed, err)
		}
		if _, err := undo.Apply("d/undo", undo.Options{Files: rec}); !errors.Is(err, undo.ErrReverted) {
			t.Errorf("putting back twice: %v", err)
		}
		t.Logf("%d and %d crashes", states, more)
	}
}

// TestChanged has somebody work on the image after the tool.
func TestChanged(t *testing.T) {
	for name, work := range map[string]func(f disk.File) error{
		"write":  func(f disk.File) error { _, err := f.WriteAt([]byte("y"), 100); return err },
		"length": func(f disk.File) error { return f.Truncate(1 << 20) },
	} {
		want := before()
		rec := put(want)
		files, err := undo.New("d/undo", rec)
		must(t, err)
		f, err := files.Open("d/a", disk.FileOptions{Write: true})
		must(t, err)
		_, err = f.WriteAt([]byte("x"), 10)
		must(t, err)
		must(t, files.Close())
		f, err = rec.Open("d/a", disk.FileOptions{Write: true})
		must(t, err)
		must(t, work(f))
		left := rec.Get("d/a")
		if _, err := undo.Apply("d/undo", undo.Options{Files: rec}); !errors.Is(err, undo.ErrChanged) {
			t.Errorf("%s: %v, want ErrChanged", name, err)
		}
		if _, err := undo.Apply("d/undo", undo.Options{Files: rec, Force: true, DryRun: true}); err != nil {
			t.Errorf("%s: dry run: %v", name, err)
		}
		if !bytes.Equal(left, rec.Get("d/a")) {
			t.Errorf("%s: refused, and yet changed", name)
		}
		_, err = undo.Apply("d/undo", undo.Options{Files: rec, Force: true})
		must(t, err)
		must(t, same(rec, want))
	}
}

// TestFaults fails saving: nothing may be changed any more.
func TestFaults(t *testing.T) {
	want := before()
	rec := put(want)
	files, err := undo.New("d/undo", rec)
	must(t, err)
	f, err := files.Open("d/a", disk.FileOptions{Write: true})
	must(t, err)
	full := errors.New("no space")
	rec.Fault = func(sync bool, _ int64) error { return full }
	for range 2 {
		if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, full) {
			t.Errorf("write: %v", err)
		}
		rec.Fault = nil // from then on it would work, but the undo file may have a gap
	}
	if err := f.Truncate(0); !errors.Is(err, full) {
		t.Errorf("truncate: %v", err)
	}
	if err := files.Close(); err == nil {
		t.Error("closed as if all were well")
	}
	must(t, same(rec, want))
}

// TestHost works on real files, with their locks.
func TestHost(t *testing.T) {
	dir := t.TempDir()
	path, log := filepath.Join(dir, "x.img"), filepath.Join(dir, "x.img.undo")
	must(t, os.WriteFile(path, []byte("hello, world"), 0o600))
	files, err := undo.New(log, nil)
	must(t, err)
	if _, err := undo.New(log, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another undo file: %v", err)
	}
	f, err := files.Open(path, disk.FileOptions{Write: true})
	must(t, err)
	if _, ok := disk.ModTime(f); !ok {
		t.Error("the time of the last change is lost")
	}
	if err := files.Remove(path); err == nil {
		t.Error("removed what could not be put back")
	}
	if files.Changed() {
		t.Error("opening is no change")
	}
	_, err = f.WriteAt([]byte("J"), 0)
	must(t, err)
	if !files.Changed() || files.Saved() != 12 {
		t.Errorf("changed: %t, %d bytes saved", files.Changed(), files.Saved())
	}
	if _, err := undo.Apply(log, undo.Options{}); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("putting back while the tool works: %v", err)
	}
	must(t, f.Close())
	must(t, files.Close())
	_, err = undo.Apply(log, undo.Options{})
	must(t, err)
	if p, err := os.ReadFile(path); err != nil || string(p) != "hello, world" {
		t.Errorf("%q, %v", p, err)
	}

	unused, err := undo.New(filepath.Join(dir, "unused"), nil)
	must(t, err)
	must(t, unused.Close())
	if _, err := os.Stat(filepath.Join(dir, "unused")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an undo file without use was left: %v", err)
	}
}

// TestOutside has an undo file name a file in another folder.
func TestOutside(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	path, log := filepath.Join(dir, "x.img"), filepath.Join(dir, "sub", "x.undo")
	must(t, os.WriteFile(path, []byte("a"), 0o600))
	files, err := undo.New(log, nil)
	must(t, err)
	f, err := files.Open(path, disk.FileOptions{Write: true})
	must(t, err)
	_, err = f.WriteAt([]byte("b"), 0)
	must(t, err)
	must(t, f.Close())
	must(t, files.Close())
	if _, err := undo.Apply(log, undo.Options{}); !errors.Is(err, disk.ErrOutside) {
		t.Errorf("%v, want ErrOutside", err)
	}
	_, err = undo.Apply(log, undo.Options{AllowOutside: true})
	must(t, err)
}

// small are files that are quickly copied.
func small() map[string][]byte {
	return map[string][]byte{"d/a": bytes.Repeat([]byte("first "), 300), "d/b": {1, 2, 3}, "d/empty": {}}
}

// sample is an undo file of all kinds of records.
func sample(t testing.TB) []byte {
	rec := put(small())
	files, err := undo.New("d/undo", rec)
	must(t, err)
	change(t, files, rand.New(rand.NewPCG(1, 2)), 12)
	must(t, files.Close())
	return rec.Get("d/undo")
}

// TestDamaged spoils an undo file: what was durable and is gone is noticed before anything is changed.
func TestDamaged(t *testing.T) {
	good := sample(t)
	noticed := 0
	for at := 0; at < len(good); at += 64 {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		files := small()
		files["d/new"], files["d/undo"] = []byte{}, bad
		rec := put(files)
		_, err := undo.Apply("d/undo", undo.Options{Files: rec, Force: true})
		if errors.Is(err, disk.ErrCorrupt) {
			noticed++
			if rec.Events() > 0 {
				t.Fatalf("byte %d is wrong: changes were made before that was noticed", at)
			}
		}
	}
	if blocks := len(good) / 512; noticed < blocks/2 {
		t.Errorf("%d damages were noticed in %d blocks", noticed, blocks)
	}
}

// resum makes the checksums of all records right.
func resum(p []byte) {
	le, sum := binary.LittleEndian, func(p []byte) uint32 { return crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)) }
	for at := 0; at+80 <= len(p); at += 512 {
		head := p[at : at+80]
		if body := int64(le.Uint32(head[52:])); int64(at)+80+body <= int64(len(p)) {
			le.PutUint32(head[72:], sum(p[at+80:][:body]))
		}
		le.PutUint32(head[76:], sum(head[:76]))
	}
}

func FuzzApply(f *testing.F) {
	good := sample(f)
	f.Add(good)
	f.Add(good[:2048])
	f.Add([]byte("vmmundo\x00"))
	f.Fuzz(func(t *testing.T, p []byte) {
		p = bytes.Clone(p)
		resum(p)
		files := small()
		files["d/undo"] = p
		rec := put(files)
		if _, err := undo.Apply("d/undo", undo.Options{Files: rec}); err == nil {
			if _, err := undo.Apply("d/undo", undo.Options{Files: rec}); !errors.Is(err, undo.ErrReverted) {
				t.Fatalf("applied, and then: %v", err)
			}
		}
	})
}
