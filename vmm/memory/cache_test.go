package memory

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRecache has a file with a hole come back into the page cache, where a hole takes no place.
func TestRecache(t *testing.T) {
	const size, hole = 16 << 20, 8 << 20
	f := onDisk(t, size)
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, hole, size-hole); err != nil {
		t.Fatal(err)
	}
	if n := cached(t, f, size); n != 0 {
		t.Fatalf("%d pages are in the cache from the start", n)
	}
	if err := Recache(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if n := cached(t, f, size); n != hole/savePage {
		t.Errorf("%d pages are in the cache, want %d", n, hole/savePage)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Recache(t.Context(), f); !errors.Is(err, unix.EBADF) {
		t.Errorf("of a closed file: %v", err)
	}
}

// cached counts the pages of a file that are in the page cache.
func cached(t *testing.T, f *os.File, size int) int {
	t.Helper()
	p, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(p)
	return resident(t, p, savePage)
}
