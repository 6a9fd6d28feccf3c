package disk

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// openAt makes a file of size bytes in dir and opens it.
func openAt(t testing.TB, dir string, size int) *hostFile {
	t.Helper()
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(i % 251)
	}
	path := filepath.Join(dir, "disk.raw")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHostFile(f, path, FileOptions{Write: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// TestPrompt reads and writes by every way that a transfer can take: in memory, from the page cache, and past what either does at once.
func TestPrompt(t *testing.T) {
	const size = 3 << 20
	memory, err := os.MkdirTemp("/dev/shm", "prompt")
	if err != nil {
		t.Skip("no file system in memory: ", err)
	}
	t.Cleanup(func() { os.RemoveAll(memory) })
	for name, dir := range map[string]string{"in memory": memory, "on disk": t.TempDir()} {
		for _, slow := range []bool{false, true} {
			h := openAt(t, dir, size)
			if name == "in memory" && !h.memory {
				t.Error("/dev/shm is not taken for memory")
			}
			h.slow.Store(slow)
			for _, n := range []int{1, 4096, maxPrompt, maxPrompt + 1} {
				bufs := [][]byte{make([]byte, n/2), nil, make([]byte, n-n/2)}
				if got, err := h.ReadvAt(bufs, 7); got != n || err != nil {
					t.Fatalf("%s: read %d of %d: %v", name, got, n, err)
				}
				for i, b := range bytes.Join(bufs, nil) {
					if b != byte((i+7)%251) {
						t.Fatalf("%s: byte %d of %d is %d", name, i, n, b)
					}
				}
				if got, err := h.WritevAt(bufs, 7); got != n || err != nil {
					t.Fatalf("%s: wrote %d of %d: %v", name, got, n, err)
				}
			}
			end := [][]byte{make([]byte, 10)}
			if got, err := h.ReadvAt(end, size-4); got != 4 || err != io.EOF {
				t.Errorf("%s: at the end %d bytes, %v", name, got, err)
			}
			if got, err := h.WritevAt(end, size-4); got != 10 || err != nil {
				t.Errorf("%s: past the end %d bytes, %v", name, got, err)
			}
			h.Close()
		}
	}
}

func TestPromptAllocatesNothing(t *testing.T) {
	h := openAt(t, t.TempDir(), 64<<10)
	bufs := [][]byte{make([]byte, 4096)}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := h.ReadvAt(bufs, 4096); err != nil {
			t.Error(err)
		}
	}); n > 0.5 { // the race detector has the pool forget some
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkReadv reads 4 KiB that are in the page cache, past Go's scheduler and by it.
func BenchmarkReadv(b *testing.B) {
	for _, slow := range []bool{false, true} {
		b.Run(map[bool]string{false: "prompt", true: "by the scheduler"}[slow], func(b *testing.B) {
			h := openAt(b, b.TempDir(), 1<<20)
			h.slow.Store(slow)
			bufs := [][]byte{make([]byte, 4096)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.ReadvAt(bufs, 8192); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
