package disktest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// Relink checks that images of s, which may have parents, can be based on others as [disk.Relinker] promises, with power cuts, and what goes with that:
// [disk.OpenOptions.Alone] and KeepIdentity.
func Relink(t *testing.T, s Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"Alone": testAlone, "Moved": testRelinkMoved, "Other": testRelinkOther, "None": testRelinkNone, "From none": testRelinkFromNone,
		"Refused": testRelinkRefused, "Identity": testKeepIdentity, "Crash": testRelinkCrash,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// relink opens an image alone, relinks and closes it, and expects its Info to say so.
func (s Subject) relink(path, parent string, files disk.Files) error {
	i, err := s.Open(path, disk.OpenOptions{Alone: true, Files: files})
	if err != nil {
		return fmt.Errorf("open %s alone: %w", path, err)
	}
	r, ok := i.(disk.Relinker)
	if !ok {
		return fmt.Errorf("%T is no disk.Relinker", i)
	}
	if err := r.Relink(parent, ""); err != nil {
		return errors.Join(fmt.Errorf("relink to %q: %w", parent, err), i.Close())
	}
	if err := linkedTo(i, parent); err != nil {
		return errors.Join(err, i.Close())
	}
	return i.Close()
}

// linkedTo expects that Info names the parent.
func linkedTo(i disk.Image, parent string) error {
	got := i.Info().Parent
	if (got == "") != (parent == "") || got != "" && filepath.Base(got) != filepath.Base(parent) {
		return fmt.Errorf("the parent is %q by Info, want %q", got, parent)
	}
	return nil
}

// family is an image with some content above a parent, beside which there is another image that could be its parent.
type family struct {
	child, parent, other string
	own                  []byte // what the child holds over zeroes
	old, new             []byte // what the child holds over either parent
}

// family makes one.
func (s Subject) family(t *testing.T, files disk.Files, dir string) family {
	t.Helper()
	const size = 5*mib + 3*512
	f := family{filepath.Join(dir, s.File), filepath.Join(dir, "parent-"+s.File), filepath.Join(dir, "other-"+s.File), make([]byte, size), make([]byte, size), make([]byte, size)}
	for n, path := range []string{f.parent, f.other} {
		o := s.Options
		o.Size, o.Files = size, files
		if err := s.Create(path, o); err != nil {
			t.Fatal(err)
		}
		i := s.open(t, path, disk.OpenOptions{Files: files})
		scatter(t, i, [][]byte{f.old, f.new}[n], uint64(n))
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
	o := s.Options
	o.Parent, o.Files = f.parent, files
	if err := s.Create(f.child, o); err != nil {
		t.Fatal(err)
	}
	i := s.open(t, f.child, disk.OpenOptions{Files: files})
	defer i.Close()
	rng := rand.New(rand.NewPCG(9, 9))
	m := model{want: f.old, rng: rng}
	for range 6 {
		off, n := m.span()
		m.fill(f.old[off : off+n])
		if _, err := i.WriteAt(f.old[off:off+n], off); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.Flush(); err != nil {
		t.Fatal(err)
	}
	// What was copied up with what was written is the child's own too.
	if err := i.Extents(0, size, func(e disk.Extent) bool {
		if e.Depth == 0 && e.Kind == disk.Data {
			copy(f.own[e.Offset:e.Offset+e.Length], f.old[e.Offset:])
			copy(f.new[e.Offset:e.Offset+e.Length], f.old[e.Offset:])
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

// hold opens a file read-only, expects content, and that Check has nothing to say.
func (s Subject) hold(path string, files disk.Files, want []byte) error {
	i, err := s.Open(path, disk.OpenOptions{ReadOnly: true, Files: files})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer i.Close()
	if i.Size() != int64(len(want)) {
		return fmt.Errorf("%s: size %d, want %d", path, i.Size(), len(want))
	}
	if err := holds(i, want); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return s.spotless(path, files)
}

func testAlone(t *testing.T, s Subject) {
	f := s.family(t, nil, Dir(t))
	if err := os.Remove(f.parent); err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{true, false} {
		i := s.open(t, f.child, disk.OpenOptions{Alone: true, ReadOnly: readOnly})
		same(t, i, f.own)
		_, werr := i.WriteAt([]byte{1}, 0)
		for name, err := range map[string]error{"WriteAt": werr, "WriteZeroes": i.WriteZeroes(0, 512, true), "Discard": i.Discard(0, 512)} {
			if !errors.Is(err, disk.ErrReadOnly) {
				t.Errorf("%s: %v, want ErrReadOnly", name, err)
			}
		}
		if err := i.Extents(0, i.Size(), func(e disk.Extent) bool {
			if e.Depth != 0 {
				t.Errorf("%+v lies in a parent", e)
			}
			return true
		}); err != nil {
			t.Error(err)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testRelinkMoved(t *testing.T, s Subject) {
	dir := Dir(t)
	f := s.family(t, nil, dir)
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(dir, "sub", "moved-"+s.File)
	parent := s.open(t, f.parent, disk.OpenOptions{ReadOnly: true})
	files := parent.Info().Files
	parent.Close()
	for _, name := range files {
		to := filepath.Join(dir, "sub", filepath.Base(name))
		if name == f.parent {
			to = moved
		}
		if err := os.Rename(name, to); err != nil {
			t.Fatal(err)
		}
	}
	if i, err := s.Open(f.child, disk.OpenOptions{}); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			i.Close()
		}
		t.Fatalf("without the parent: %v", err)
	}
	if err := s.relink(f.child, moved, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.hold(f.child, nil, f.old); err != nil {
		t.Fatal(err)
	}
	i := s.open(t, f.child, disk.OpenOptions{})
	m := model{want: f.old, rng: rand.New(rand.NewPCG(6, 7))}
	for range 30 {
		if err := m.step(i); err != nil {
			t.Fatal(err)
		}
	}
	s.closeClean(t, i, f.child)
	if err := os.Rename(filepath.Join(dir, "sub"), filepath.Join(dir, "sub2")); err != nil { // relative to the child means that both can be moved
		t.Fatal(err)
	}
	if i, err := s.Open(f.child, disk.OpenOptions{}); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			i.Close()
		}
		t.Fatalf("without the moved parent: %v", err)
	}
}

// testRelinkOther links to another parent, and then changes that one.
func testRelinkOther(t *testing.T, s Subject) {
	f := s.family(t, nil, Dir(t))
	if err := s.relink(f.child, f.other, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.hold(f.child, nil, f.new); err != nil {
		t.Fatal(err)
	}
	if !s.detectsStale(t) {
		return
	}
	overwrite(t, s, f.other, disk.OpenOptions{})
	i, err := s.Open(f.child, disk.OpenOptions{})
	if err == nil {
		i.Close()
	}
	if !errors.Is(err, disk.ErrStaleParent) {
		t.Errorf("the new parent has changed: %v, want ErrStaleParent", err)
	}
	// Linking to it anew is saying that this is meant.
	if err := s.relink(f.child, f.other, nil); err != nil {
		t.Fatal(err)
	}
	s.open(t, f.child, disk.OpenOptions{}).Close()
}

// overwrite changes an image.
func overwrite(t *testing.T, s Subject, path string, o disk.OpenOptions) {
	t.Helper()
	i := s.open(t, path, o)
	if _, err := i.WriteAt([]byte("changed"), mib); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}

// detectsStale says whether the format notices that a parent has changed.
func (s Subject) detectsStale(t *testing.T) bool {
	t.Helper()
	child, parent, _ := s.pair(t, 2*mib)
	overwrite(t, s, parent, disk.OpenOptions{})
	i, err := s.Open(child, disk.OpenOptions{ReadOnly: true})
	if err == nil {
		i.Close()
	} else if !errors.Is(err, disk.ErrStaleParent) {
		t.Fatal(err)
	}
	return err != nil
}

func testRelinkNone(t *testing.T, s Subject) {
	f := s.family(t, nil, Dir(t))
	err := s.relink(f.child, "", nil)
	if errors.Is(err, disk.ErrUnsupported) {
		if err := s.hold(f.child, nil, f.old); err != nil {
			t.Fatalf("refused, but: %v", err)
		}
		t.Skipf("refused: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(f.parent); err != nil {
		t.Fatal(err)
	}
	if err := s.hold(f.child, nil, f.own); err != nil {
		t.Fatal(err)
	}
	i := s.open(t, f.child, disk.OpenOptions{})
	m := model{want: f.own, rng: rand.New(rand.NewPCG(6, 8))}
	for range 60 {
		if err := m.step(i); err != nil {
			t.Fatal(err)
		}
	}
	s.closeClean(t, i, f.child)
	if err := s.hold(f.child, nil, f.own); err != nil {
		t.Fatal(err)
	}
	if err := s.relink(f.child, f.other, nil); err != nil && !errors.Is(err, disk.ErrUnsupported) {
		t.Errorf("and back to a parent: %v", err)
	}
}

// testRelinkFromNone gives an image that stood alone a parent.
func testRelinkFromNone(t *testing.T, s Subject) {
	const block = 2 * mib // of any format
	dir := Dir(t)
	path, parent := filepath.Join(dir, s.File), filepath.Join(dir, "parent-"+s.File)
	o := s.Options
	o.Size = 3 * block
	for _, p := range []string{path, parent} {
		if err := s.Create(p, o); err != nil {
			t.Fatal(err)
		}
	}
	want := make([]byte, o.Size)
	i := s.open(t, parent, disk.OpenOptions{})
	scatter(t, i, want, 3)
	s.closeClean(t, i, parent)
	before := make([]byte, o.Size)
	copy(before[block:], bytes.Repeat([]byte{0x42}, block)) // all of a block, so that nobody can tell who stores the rest of it
	i = s.open(t, path, disk.OpenOptions{})
	if _, err := i.WriteAt(before[block:2*block], block); err != nil {
		t.Fatal(err)
	}
	s.closeClean(t, i, path)
	copy(want[block:], before[block:2*block])
	err := s.relink(path, parent, nil)
	if errors.Is(err, disk.ErrUnsupported) {
		if err := s.hold(path, nil, before); err != nil {
			t.Fatalf("refused, but: %v", err)
		}
		t.Skipf("refused: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	i = s.open(t, path, disk.OpenOptions{ReadOnly: true})
	own := i.Info().BlockSize <= block
	i.Close()
	if own {
		if err := s.hold(path, nil, want); err != nil {
			t.Fatal(err)
		}
	}
}

// testRelinkRefused asks for parents that cannot be, and expects the image as it was.
func testRelinkRefused(t *testing.T, s Subject) {
	dir := Dir(t)
	f := s.family(t, nil, dir)
	garbage := filepath.Join(dir, "garbage-"+s.File)
	if err := os.WriteFile(garbage, bytes.Repeat([]byte{0x5a}, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, parent := range map[string]string{"missing": filepath.Join(dir, "missing-"+s.File), "itself": f.child, "garbage": garbage} {
		if err := s.relink(f.child, parent, nil); err == nil {
			t.Errorf("%s: linked to it", what)
		}
		if err := s.hold(f.child, nil, f.old); err != nil {
			t.Fatalf("%s: refused, but: %v", what, err)
		}
	}
	grandchild := filepath.Join(dir, "grandchild-"+s.File)
	o := s.Options
	o.Parent = f.child
	if err := s.Create(grandchild, o); err != nil {
		t.Fatal(err)
	}
	if err := s.relink(f.child, grandchild, nil); err == nil {
		t.Error("linked to an image that is based on this one")
	}
	i := s.open(t, f.child, disk.OpenOptions{Alone: true, ReadOnly: true})
	defer i.Close()
	if err := i.(disk.Relinker).Relink(f.other, ""); !errors.Is(err, disk.ErrReadOnly) {
		t.Errorf("a read-only image: %v, want ErrReadOnly", err)
	}
}

// testKeepIdentity writes to a parent in such a way that its children do not notice.
func testKeepIdentity(t *testing.T, s Subject) {
	f := s.family(t, nil, Dir(t))
	overwrite(t, s, f.parent, disk.OpenOptions{KeepIdentity: true})
	s.open(t, f.child, disk.OpenOptions{}).Close()
	if err := s.spotless(f.parent, nil); err != nil {
		t.Error(err)
	}
}

// aboveAgain is what the child of a family that has come to stand alone reads as once it gets its parent again. Formats that know of each sector
// where it is stored then know it of each block only.
func (s Subject) aboveAgain(t *testing.T, f family, files disk.Files) []byte {
	t.Helper()
	i := s.open(t, f.child, disk.OpenOptions{ReadOnly: true, Files: files})
	defer i.Close()
	want := bytes.Clone(f.old)
	if err := i.Extents(0, i.Size(), func(e disk.Extent) bool {
		if e.Kind != disk.Hole {
			copy(want[e.Offset:e.Offset+e.Length], f.own[e.Offset:])
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return want
}

// testRelinkCrash replays crashes while an image gets another parent, none, and one again.
func testRelinkCrash(t *testing.T, s Subject) {
	for _, way := range []struct {
		name  string
		links func(f family) []string
	}{
		{"other", func(f family) []string { return []string{f.parent, f.other} }},
		{"none", func(f family) []string { return []string{f.parent, ""} }},
		{"from none", func(f family) []string { return []string{"", f.parent} }},
	} {
		t.Run(way.name, func(t *testing.T) {
			rec := NewRecorder()
			f := s.family(t, rec, crashPath)
			links, reads := way.links(f), map[string][]byte{f.parent: f.old, f.other: f.new, "": f.own}
			var done int
			for n, link := range links {
				rec.Settle()
				err := s.relink(f.child, link, rec)
				if errors.Is(err, disk.ErrUnsupported) {
					t.Skipf("refused: %v", err)
				}
				if err != nil {
					t.Fatal(n, err)
				}
				done = rec.Events()
				if n == 0 && link == "" {
					reads[f.parent] = s.aboveAgain(t, f, rec)
				}
			}
			rng := rand.New(rand.NewPCG(5, 99))
			states, err := rec.Crashes(rng, max(1, done/50), func(n int, left *Recorder) error {
				i, err := s.afterCrash(f.child, left)
				if err != nil {
					return err
				}
				link := links[1]
				if linkedTo(i, link) != nil && n < done {
					link = links[0]
				}
				if err := errors.Join(linkedTo(i, link), holds(i, reads[link]), i.Close()); err != nil {
					return err
				}
				if err := s.hold(f.child, left, reads[link]); err != nil {
					return fmt.Errorf("recovered: %w", err)
				}
				if err := s.relink(f.child, links[1], left); err != nil {
					return fmt.Errorf("again: %w", err)
				}
				return s.hold(f.child, left, reads[links[1]])
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d events, %d crashes", done, states)
		})
	}
}
