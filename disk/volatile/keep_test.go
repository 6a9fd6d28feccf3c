package volatile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/raw"
	"github.com/sharevm/vmm/disk/volatile"
)

// keep has an image's writes kept in a file.
func keep(t testing.TB, i disk.Image) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kept")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := i.(*volatile.Image).SaveTo(f); err != nil {
		t.Fatal(err)
	}
	return path
}

// reopen returns the base with what was kept.
func reopen(t testing.TB, base, kept string) (disk.Image, error) {
	t.Helper()
	img, err := raw.Open(base, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	i, err := volatile.Open(img, kept)
	if err != nil {
		img.Close()
		return nil, err
	}
	return i, nil
}

func write(t testing.TB, i disk.Image, want []byte, off int64, p []byte) {
	t.Helper()
	if _, err := i.WriteAt(p, off); err != nil {
		t.Fatal(err)
	}
	copy(want[off:], p)
}

func holds(t testing.TB, i disk.Image, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := i.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the image holds something else: %v", err)
	}
}

// TestKeep keeps what was written, goes on above it twice, and keeps that again.
func TestKeep(t *testing.T) {
	path, content, top := base(t)
	want := bytes.Clone(content)
	write(t, top, want, 5000, bytes.Repeat([]byte{1}, 70000))
	write(t, top, want, size-300, bytes.Repeat([]byte{2}, 300))
	first := keep(t, top)
	if err := top.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what one writes, the other does not see
		below, err := reopen(t, path, first)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, below, want)
		if _, err := below.WriteAt([]byte{1}, 0); !errors.Is(err, disk.ErrReadOnly) || !below.Info().ReadOnly {
			t.Errorf("what was kept can be written: %v", err)
		}
		above, err := volatile.New(below, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Clone(want)
		write(t, above, changed, 60000, bytes.Repeat([]byte{3}, 30000))
		write(t, above, changed, 3<<20, []byte("new"))
		second := keep(t, above)
		if err := above.Close(); err != nil {
			t.Fatal(err)
		}
		both, err := reopen(t, path, second)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, both, changed)
		if err := both.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeepCorrupt opens files that are cut or changed behind the blocks.
func TestKeepCorrupt(t *testing.T) {
	path, content, top := base(t)
	write(t, top, content, 5000, []byte("something"))
	kept := keep(t, top)
	if err := top.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, b []byte) {
		t.Helper()
		if err := os.WriteFile(kept, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if i, err := reopen(t, path, kept); !errors.Is(err, volatile.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
			if err == nil {
				i.Close()
			}
		}
	}
	for at := (size + 4095) &^ 4095; at < len(whole)-4; at++ {
		b := bytes.Clone(whole)
		b[at] ^= 1
		refused("a bit changed", b)
	}
	for _, n := range []int{0, 100, size, len(whole) - 32, len(whole) - 1} {
		refused("cut", whole[:n])
	}
	refused("longer", append(bytes.Clone(whole), 0))
}

// TestKeepLink has the file that was kept be a link to one elsewhere, as a stranger's snapshot may.
func TestKeepLink(t *testing.T) {
	path, content, top := base(t)
	write(t, top, content, 5000, []byte("something"))
	kept := keep(t, top)
	if err := top.Close(); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "kept")
	if err := os.Symlink(kept, link); err != nil {
		t.Fatal(err)
	}
	i, err := reopen(t, path, link)
	if !errors.Is(err, disk.ErrOutside) {
		t.Errorf("the link is followed: %v", err)
	}
	if err == nil {
		i.Close()
	}
}

// TestForget writes above what was kept, and forgets both.
func TestForget(t *testing.T) {
	path, content, top := base(t)
	want := bytes.Clone(content)
	write(t, top, want, 5000, bytes.Repeat([]byte{1}, 70000))
	kept := keep(t, top)
	if err := top.Close(); err != nil {
		t.Fatal(err)
	}
	below, err := reopen(t, path, kept)
	if err != nil {
		t.Fatal(err)
	}
	above, err := volatile.New(below, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, above, want, 3<<20, []byte("new"))
	holds(t, above, want)
	if err := above.Forget(); err != nil {
		t.Fatal(err)
	}
	holds(t, above, content)
	write(t, above, content, 5100, []byte("again"))
	holds(t, above, content)
	if err := above.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := below.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("what was kept is still open")
	}
}
