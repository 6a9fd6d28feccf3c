package nbd

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeImage is memory, with hooks. It has data in [from, to) and is a hole elsewhere, as far as it tells.
type fakeImage struct {
	from, to int64
	// before is called before each operation but Extents, if not nil; its error is the operation's.
	before func(op string, off, n int64) error

	mu   sync.Mutex
	data []byte
	log  []string // operations that are over

	now, most atomic.Int32 // operations at a time
}

func newFake(size int64) *fakeImage {
	f := &fakeImage{data: make([]byte, size), to: size}
	for k := range f.data {
		f.data[k] = byte(k) ^ byte(k>>8) ^ byte(k>>16)*7
	}
	return f
}

func (f *fakeImage) do(op string, off, n int64, fn func(p []byte)) error {
	now := f.now.Add(1)
	defer f.now.Add(-1)
	for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); most = f.most.Load() {
	}
	if err := disk.CheckRange(int64(len(f.data)), off, n); err != nil {
		return err
	}
	if f.before != nil {
		if err := f.before(op, off, n); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(f.data[off : off+n])
	f.log = append(f.log, op)
	return nil
}

// took returns the operations so far and forgets them.
func (f *fakeImage) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.log
	f.log = nil
	return log
}

func (f *fakeImage) ReadAt(p []byte, off int64) (int, error) {
	return len(p), f.do("read", off, int64(len(p)), func(d []byte) { copy(p, d) })
}

func (f *fakeImage) WriteAt(p []byte, off int64) (int, error) {
	return len(p), f.do("write", off, int64(len(p)), func(d []byte) { copy(d, p) })
}

func (f *fakeImage) Flush() error { return f.do("flush", 0, 0, func([]byte) {}) }

func (f *fakeImage) WriteZeroes(off, n int64, unmap bool) error {
	op := "zero"
	if unmap {
		op = "unmap"
	}
	return f.do(op, off, n, func(d []byte) { clear(d) })
}

func (f *fakeImage) Discard(off, n int64) error {
	return f.do("discard", off, n, func([]byte) {})
}

func (f *fakeImage) Extents(off, n int64, yield func(disk.Extent) bool) error {
	for end := off + n; off < end; {
		e := disk.Extent{Offset: off, Length: end - off, Host: -1}
		switch {
		case off < f.from:
			e.Length = min(e.Length, f.from-off)
		case off < f.to:
			e.Kind, e.Host, e.Length = disk.Data, off, min(e.Length, f.to-off)
		}
		if !yield(e) {
			return nil
		}
		off += e.Length
	}
	return nil
}

func (f *fakeImage) Size() int64     { return int64(len(f.data)) }
func (f *fakeImage) Info() disk.Info { return disk.Info{Format: "fake", BlockSize: 8192} }
func (f *fakeImage) Close() error    { return nil }

// serve starts a server and returns the path of its socket. It is shut down at the end of the test.
func serve(t testing.TB, e Export, o Options) (*Server, string) {
	t.Helper()
	s, err := NewServer(e, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // a test's clients that are still there are cut off
		if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-ended; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return s, l.Addr().String()
}
