package disktest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// Chain checks images of s that have a parent of the same format: all of [Run] and [Crash] above a parent, and what chains add.
func Chain(t *testing.T, s Subject) {
	t.Run("Run", func(t *testing.T) { Run(t, s.above(nil)) })
	t.Run("Crash", func(t *testing.T) { crashes(t, s.above(checker), 1) })
	t.Run("Faults", func(t *testing.T) { Faults(t, s.above(nil)) })
	for name, test := range map[string]func(*testing.T, Subject){
		"Model": testChainModel, "Concurrent": testChainConcurrent, "Sizes": testChainSizes, "Extents": testChainExtents, "Outside": testOutside,
		"Circle": testCircle, "Depth": testDepth, "Missing": testMissingParent, "Locked": testParentLocked,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// above returns a Subject whose images have an image of s as their parent, which fill writes to unless it is nil.
func (s Subject) above(fill func(disk.Image) error) Subject {
	c := s
	c.Create = func(path string, o disk.CreateOptions) error {
		o.Parent = filepath.Join(filepath.Dir(path), "parent-"+filepath.Base(path))
		if err := s.Create(o.Parent, disk.CreateOptions{Size: o.Size, Files: o.Files, BlockSize: o.BlockSize, Variant: s.Options.Variant}); err != nil {
			return err
		}
		i, err := s.Open(o.Parent, disk.OpenOptions{Files: o.Files})
		if err != nil {
			return err
		}
		if fill != nil {
			err = fill(i)
		}
		if err := errors.Join(err, i.Close()); err != nil {
			return err
		}
		return s.Create(path, o)
	}
	return c
}

// checker writes to every other stretch of 100 sectors.
func checker(i disk.Image) error { return checked(i, i.Size()) }

// checked does so in the first limit bytes of an image.
func checked(i disk.Image, limit int64) error {
	for first := int64(0); (first+100)*sectorSize <= min(limit, i.Size()); first += 200 {
		if _, err := i.WriteAt(contents(1<<50+uint64(first), 100), first*sectorSize); err != nil {
			return err
		}
	}
	return nil
}

// pair makes a parent of random content and a child, and returns their paths and the content.
func (s Subject) pair(t *testing.T, size int64) (child, parent string, want []byte) {
	t.Helper()
	want = make([]byte, size)
	c := s.above(func(i disk.Image) error {
		scatter(t, i, want, uint64(size))
		return nil
	})
	child = c.make(t, size)
	return child, filepath.Join(filepath.Dir(child), "parent-"+filepath.Base(child)), want
}

// testChainModel applies random operations to the top of a chain of three, and expects the other two to stay as they are.
func testChainModel(t *testing.T, s Subject) {
	const size = 5*mib + 3*512
	middle, bottom, want := s.pair(t, size)
	m := model{want: bytes.Clone(want), rng: rand.New(rand.NewPCG(4, 7))}
	run := func(path string) {
		t.Helper()
		for range 3 {
			i := s.open(t, path, disk.OpenOptions{})
			for step := range 60 {
				if err := m.step(i); err != nil {
					t.Fatalf("step %d: %v", step, err)
				}
			}
			if err := m.compare(i, 0, size); err != nil {
				t.Fatal(err)
			}
			s.closeClean(t, i, path)
		}
	}
	run(middle)
	between := bytes.Clone(m.want)
	top := filepath.Join(filepath.Dir(middle), "top-"+filepath.Base(middle))
	o := s.Options
	o.Parent = middle
	if err := s.Create(top, o); err != nil { // the size comes from the parent
		t.Fatal(err)
	}
	run(top)
	for path, want := range map[string][]byte{bottom: want, middle: between, top: m.want} {
		i := s.open(t, path, disk.OpenOptions{ReadOnly: true})
		same(t, i, want)
		i.Close()
	}
}

// testChainConcurrent has writers share blocks that must be copied up first.
func testChainConcurrent(t *testing.T, s Subject) {
	const size, stripe, writers = 8 * mib, 1024, 4
	path, _, want := s.pair(t, size)
	i := s.open(t, path, disk.OpenOptions{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			p := make([]byte, stripe)
			for range 300 {
				at := (rng.Int64N(size/stripe/writers)*writers + int64(w)) * stripe
				fill(p, at)
				if _, err := i.WriteAt(p, at); err != nil {
					t.Error(err)
					return
				}
				copy(want[at:], p) // stripes are a writer's own
				if rng.IntN(50) == 0 {
					if err := i.Flush(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	same(t, i, want)
	s.closeClean(t, i, path)
}

// testChainSizes has children that are larger and smaller than their parent.
func testChainSizes(t *testing.T, s Subject) {
	_, parent, want := s.pair(t, 2*mib)
	for _, size := range []int64{mib, 2*mib + 512, 4 * mib} {
		path := filepath.Join(filepath.Dir(parent), fmt.Sprint(size)+"-"+s.File)
		o := s.Options
		o.Parent, o.Size = parent, size
		if err := s.Create(path, o); err != nil {
			if size > int64(len(want)) {
				t.Errorf("a larger child: %v", err)
			}
			continue // some formats have no smaller ones
		}
		m := model{want: make([]byte, size), rng: rand.New(rand.NewPCG(uint64(size), 7))}
		copy(m.want, want)
		i := s.open(t, path, disk.OpenOptions{})
		same(t, i, m.want)
		for step := range 40 {
			if err := m.step(i); err != nil {
				t.Fatalf("size %d, step %d: %v", size, step, err)
			}
		}
		same(t, i, m.want)
		s.closeClean(t, i, path)
	}
}

// testChainExtents checks that extents tell how far down the data lies.
func testChainExtents(t *testing.T, s Subject) {
	const size = 8 * mib
	path := s.above(func(i disk.Image) error {
		_, err := i.WriteAt(bytes.Repeat([]byte{1}, mib), 2*mib)
		return err
	}).make(t, size)
	i := s.open(t, path, disk.OpenOptions{})
	defer s.closeClean(t, i, path)
	if i.Info().Parent == "" {
		t.Error("Info does not name the parent")
	}
	if _, err := i.WriteAt(bytes.Repeat([]byte{2}, mib), 6*mib); err != nil {
		t.Fatal(err)
	}
	at, depths := int64(0), map[int]int64{}
	if err := i.Extents(0, size, func(e disk.Extent) bool {
		if e.Offset != at || e.Length <= 0 {
			t.Fatalf("extent %+v, want one that starts at %d", e, at)
		}
		at += e.Length
		if e.Kind == disk.Data {
			depths[e.Depth] += e.Length
		}
		return true
	}); err != nil || at != size {
		t.Fatalf("extents end at %d: %v", at, err)
	}
	if depths[0] < mib || depths[1] < mib || depths[0]+depths[1] > 6*mib || len(depths) != 2 {
		t.Errorf("data by depth: %v", depths)
	}
}

func testOutside(t *testing.T, s Subject) {
	path, parent, want := s.pair(t, mib)
	dir := filepath.Join(filepath.Dir(path), "sub")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(dir, s.File)
	o := s.Options
	o.Parent = parent
	if err := s.Create(inner, o); err != nil {
		t.Fatal(err)
	}
	if i, err := s.Open(inner, disk.OpenOptions{}); !errors.Is(err, disk.ErrOutside) || !strings.Contains(err.Error(), inner) {
		if err == nil {
			i.Close()
		}
		t.Errorf("a parent in another folder: %v, want ErrOutside that names the child", err)
	}
	i := s.open(t, inner, disk.OpenOptions{AllowOutside: true})
	same(t, i, want)
	i.Close()
}

// testCircle puts a child in the place of its parent.
func testCircle(t *testing.T, s Subject) {
	files := NewRecorder()
	c := s.above(nil)
	o := s.Options
	o.Size, o.Files = mib, files
	if err := c.Create("d/"+s.File, o); err != nil {
		t.Fatal(err)
	}
	files.Put("d/parent-"+s.File, files.Get("d/"+s.File))
	i, err := s.Open("d/parent-"+s.File, disk.OpenOptions{Files: files, AllowStaleParent: true})
	if err == nil {
		i.Close()
	}
	if !errors.Is(err, disk.ErrCorrupt) || !strings.Contains(err.Error(), "circle") {
		t.Errorf("a disk that is its own parent: %v", err)
	}
}

// testDepth makes a chain that is longer than any.
func testDepth(t *testing.T, s Subject) {
	files := NewRecorder()
	o := s.Options
	o.Size, o.Files = 64<<10, files
	for n := range 80 {
		path := fmt.Sprintf("d/%d-%s", n, s.File)
		if err := s.Create(path, o); err != nil {
			if n < 32 || !errors.Is(err, disk.ErrCorrupt) {
				t.Fatalf("image %d of a chain: %v", n, err)
			}
			return
		}
		o.Parent = path
	}
	t.Error("a chain of 80 images opened")
}

func testMissingParent(t *testing.T, s Subject) {
	path, parent, _ := s.pair(t, mib)
	if err := os.Remove(parent); err != nil {
		t.Fatal(err)
	}
	i, err := s.Open(path, disk.OpenOptions{ReadOnly: true})
	if err == nil {
		i.Close()
	}
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), filepath.Base(parent)) {
		t.Errorf("without its parent: %v, want an error that names both", err)
	}
}

// testParentLocked checks that nobody can write to a parent in use, and that two children share one.
func testParentLocked(t *testing.T, s Subject) {
	path, parent, _ := s.pair(t, mib)
	other := filepath.Join(filepath.Dir(path), "other-"+s.File)
	o := s.Options
	o.Parent = parent
	if err := s.Create(other, o); err != nil {
		t.Fatal(err)
	}
	i, j := s.open(t, path, disk.OpenOptions{}), s.open(t, other, disk.OpenOptions{})
	if _, err := s.Open(parent, disk.OpenOptions{}); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("open a parent in use for writing: %v, want ErrLocked", err)
	}
	i.Close()
	j.Close()
	s.open(t, parent, disk.OpenOptions{}).Close()
}
