package volatile_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/raw"
	"github.com/sharevm/vmm/disk/volatile"
)

const size = 5<<20 + 700

// base makes a raw image of random bytes, and an overlay on it.
func base(t testing.TB) (path string, content []byte, top disk.VectorImage) {
	t.Helper()
	content = make([]byte, size)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range content {
		content[i] = byte(rng.Uint32())
	}
	path = filepath.Join(disktest.Dir(t), "base.raw")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	img, err := raw.Open(path, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	top, err = volatile.New(img, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path, content, top
}

// TestModel writes at random and finds the writes in the overlay and the base unchanged.
func TestModel(t *testing.T) {
	path, content, top := base(t)
	want := bytes.Clone(content)
	rng := rand.New(rand.NewPCG(2, 2))
	for range 400 {
		off := rng.Int64N(size)
		n := 1 + rng.Int64N(min(size-off, 400<<10))
		if rng.IntN(2) == 0 {
			n = min(n, 5000)
		}
		part := want[off : off+n]
		switch rng.IntN(4) {
		case 0:
			clear(part)
			if err := top.WriteZeroes(off, n, true); err != nil {
				t.Fatal(err)
			}
		case 1:
			for i := range part {
				part[i] = byte(rng.Uint32())
			}
			if m, err := top.WritevAt([][]byte{part[:n/3], part[n/3:]}, off); err != nil || int64(m) != n {
				t.Fatal(m, err)
			}
		case 2:
			for i := range part {
				part[i] = byte(rng.Uint32())
			}
			if m, err := top.WriteAt(part, off); err != nil || int64(m) != n {
				t.Fatal(m, err)
			}
		case 3:
			got := make([]byte, n)
			if _, err := top.ReadvAt([][]byte{got[:n/2], got[n/2:]}, off); err != nil || !bytes.Equal(got, part) {
				t.Fatalf("%d bytes at %d: %v", n, off, err)
			}
		}
	}
	got := make([]byte, size)
	if _, err := top.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the overlay does not hold what was written (%v)", err)
	}
	at := int64(0)
	if err := top.Extents(0, size, func(e disk.Extent) bool {
		if e.Offset != at {
			t.Fatalf("extent %+v, want one at %d", e, at)
		}
		at += e.Length
		return true
	}); err != nil || at != size {
		t.Fatalf("extents end at %d: %v", at, err)
	}
	if err := top.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(after, content) {
		t.Fatalf("the base has changed (%v)", err)
	}
}

// TestConcurrent has writers share blocks: each owns a part of every one.
func TestConcurrent(t *testing.T) {
	_, content, top := base(t)
	defer top.Close()
	const writers, part = 4, 1024
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for off := int64(w * part); off+part <= size; off += writers * part {
				p := bytes.Repeat([]byte{byte(w)}, part)
				if _, err := top.WriteAt(p, off); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := make([]byte, size)
	if _, err := top.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	whole := size / part * part
	for i, b := range got[:whole] {
		if b != byte(i/part%writers) {
			t.Fatalf("byte %d reads as %d: a neighbour's copy of the base went over it", i, b)
		}
	}
	if !bytes.Equal(got[whole:], content[whole:]) {
		t.Fatal("the rest of the base is not as it was")
	}
}

// TestLeavesNothing checks that the temporary file has no name and that the base was not written.
func TestLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "base.raw")
	if err := raw.Create(path, disk.CreateOptions{Size: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	img, err := raw.Open(path, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	top, err := volatile.New(img, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	if _, err := top.WriteAt(make([]byte, 8192), 100); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Fatalf("%d files in the temporary folder: %v", len(left), err)
	}
}
