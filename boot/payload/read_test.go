package payload

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestReadParallel compares what several readers put together with the file.
func TestReadParallel(t *testing.T) {
	want := make([]byte, 5*pieceSize+12345)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(want)
	path := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f, err := FromOS(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ off, n int }{{0, len(want)}, {1, pieceSize}, {777, 2*pieceSize + 1}, {0, 0}, {3, 1}} {
		got := make([]byte, c.n)
		if err := f.readParallel(got, int64(c.off)); err != nil || !bytes.Equal(got, want[c.off:c.off+c.n]) {
			t.Errorf("%d bytes at %d: error %v, equal %v", c.n, c.off, err, bytes.Equal(got, want[c.off:c.off+c.n]))
		}
	}
	// The file has shrunk since.
	if err := os.Truncate(path, 3*pieceSize); err != nil {
		t.Fatal(err)
	}
	if err := f.readParallel(make([]byte, len(want)), 0); !errors.Is(err, ErrTruncated) {
		t.Errorf("a truncated file: %v", err)
	}
}
