package disktest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// Run checks that s behaves as [disk.Image] promises.
func Run(t *testing.T, s Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"Empty": testEmpty, "Model": testModel, "Bounds": testBounds, "Concurrent": testConcurrent, "ReadOnly": testReadOnly,
		"Locked": testLocked, "Closed": testClosed, "Large": testLarge, "Extents": testExtents,
		"Killed": testKilled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

const mib = 1 << 20

// sizes are the capacities tried: nothing, one sector, odd ones, around block boundaries.
func (s Subject) sizes() []int64 {
	sizes := []int64{0, 512, 63 * 512, 2*mib - 512, 2 * mib, 2*mib + 512, 5*mib + 3*512}
	if s.AnySize {
		sizes = append(sizes, 1, 511, mib+1)
	}
	return sizes
}

func testEmpty(t *testing.T, s Subject) {
	for _, size := range s.sizes() {
		path := s.make(t, size)
		i := s.open(t, path, disk.OpenOptions{})
		if i.Size() != size {
			t.Fatalf("size %d, want %d", i.Size(), size)
		}
		got := bytes.Repeat([]byte{0xaa}, int(size))
		if _, err := i.ReadAt(got, 0); err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if !isZero(got) {
			t.Fatalf("size %d: a new disk is not all zeroes", size)
		}
		info := i.Info()
		if info.Size != size || info.Path != path || info.Format == "" || info.Unclean || len(info.Files) == 0 {
			t.Errorf("info %+v", info)
		}
		s.closeClean(t, i, path)
		if err := s.Create(path, disk.CreateOptions{Size: size}); err == nil {
			t.Fatalf("created %s over an existing image", path)
		}
		s.open(t, path, disk.OpenOptions{ReadOnly: true}).Close()
	}
}

// testModel applies random operations to the image and to a slice of bytes.
func testModel(t *testing.T, s Subject) {
	for n, size := range s.sizes() {
		if size == 0 {
			continue
		}
		rng := rand.New(rand.NewPCG(uint64(n), 7))
		path := s.make(t, size)
		i := s.open(t, path, disk.OpenOptions{})
		m := model{want: make([]byte, size), rng: rng}
		for step := range 150 {
			if err := m.step(i); err != nil {
				t.Fatalf("size %d, step %d: %v", size, step, err)
			}
			if step%40 == 39 {
				s.closeClean(t, i, path)
				i = s.open(t, path, disk.OpenOptions{})
				if err := m.compare(i, 0, size); err != nil {
					t.Fatalf("size %d, reopened after step %d: %v", size, step, err)
				}
			}
		}
		s.closeClean(t, i, path)
	}
}

// model is what a disk should hold.
type model struct {
	want []byte
	rng  *rand.Rand
}

// span picks a range, half of the time an aligned one.
func (m *model) span() (off, n int64) {
	size := int64(len(m.want))
	off = m.rng.Int64N(size)
	n = 1 + m.rng.Int64N(min(size-off, 300<<10))
	if m.rng.IntN(2) == 0 {
		off = off / 4096 * 4096
		n = min((n+4095)/4096*4096, size-off)
	}
	return off, n
}

func (m *model) step(i disk.Image) error {
	off, n := m.span()
	part := m.want[off : off+n]
	switch m.rng.IntN(8) {
	case 0, 1, 2:
		m.fill(part)
		if got, err := i.WriteAt(part, off); err != nil || got != len(part) {
			return fmt.Errorf("write %d at %d: %d, %w", n, off, got, err)
		}
	case 3:
		v, ok := i.(disk.VectorImage)
		if !ok {
			return nil
		}
		m.fill(part)
		if got, err := v.WritevAt(m.cut(part), off); err != nil || got != len(part) {
			return fmt.Errorf("writev %d at %d: %d, %w", n, off, got, err)
		}
	case 4:
		clear(part)
		if err := i.WriteZeroes(off, n, m.rng.IntN(2) == 0); err != nil {
			return fmt.Errorf("write zeroes %d at %d: %w", n, off, err)
		}
	case 5:
		if err := i.Discard(off, n); err != nil {
			return fmt.Errorf("discard %d at %d: %w", n, off, err)
		}
		return m.adopt(i, off, n)
	case 6:
		if err := i.Flush(); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
	}
	return m.compare(i, off, n)
}

func (m *model) fill(p []byte) {
	var word [8]byte
	for len(p) > 0 {
		binary.LittleEndian.PutUint64(word[:], m.rng.Uint64())
		p = p[copy(p, word[:]):]
	}
}

// cut splits p into buffers of random lengths, empty ones included.
func (m *model) cut(p []byte) (out [][]byte) {
	for len(p) > 0 {
		n := min(len(p), m.rng.IntN(20000))
		out = append(out, p[:n:n])
		p = p[n:]
	}
	return append(out, nil)
}

// adopt takes what a discarded range reads as, provided that each byte is the old one or zero.
func (m *model) adopt(i disk.Image, off, n int64) error {
	got := make([]byte, n)
	if _, err := i.ReadAt(got, off); err != nil {
		return err
	}
	for k, b := range got {
		if b != 0 && b != m.want[off+int64(k)] {
			return fmt.Errorf("discarded byte %d reads as %#x, neither its old value nor zero", off+int64(k), b)
		}
	}
	copy(m.want[off:], got)
	return nil
}

func (m *model) compare(i disk.Image, off, n int64) error {
	got := bytes.Repeat([]byte{0xaa}, int(n))
	if r, err := i.ReadAt(got, off); err != nil || int64(r) != n {
		return fmt.Errorf("read %d at %d: %d, %w", n, off, r, err)
	}
	if k := mismatch(got, m.want[off:off+n]); k >= 0 {
		return fmt.Errorf("byte %d reads as %#x, want %#x", off+int64(k), got[k], m.want[off+int64(k)])
	}
	v, ok := i.(disk.VectorImage)
	if !ok {
		return nil
	}
	again := bytes.Repeat([]byte{0xaa}, int(n))
	if r, err := v.ReadvAt(m.cut(again), off); err != nil || int64(r) != n {
		return fmt.Errorf("readv %d at %d: %d, %w", n, off, r, err)
	}
	if k := mismatch(again, m.want[off:off+n]); k >= 0 {
		return fmt.Errorf("readv: byte %d reads as %#x, want %#x", off+int64(k), again[k], m.want[off+int64(k)])
	}
	return nil
}

func mismatch(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

func isZero(p []byte) bool { return len(p) == 0 || p[0] == 0 && repeats(p, 1) }

// repeats says whether p consists of its first n bytes over and over.
func repeats(p []byte, n int) bool { return len(p) < n || bytes.Equal(p[n:], p[:len(p)-n]) }

func testBounds(t *testing.T, s Subject) {
	const size = mib
	path := s.make(t, size)
	i := s.open(t, path, disk.OpenOptions{})
	defer s.closeClean(t, i, path)
	for _, r := range []struct{ off, n int64 }{{-1, 1}, {size, 1}, {size - 1, 2}, {size + 1, 0}, {1<<63 - 1, 1}, {-1 << 63, 1}} {
		calls := map[string]error{}
		_, calls["ReadAt"] = i.ReadAt(make([]byte, r.n), r.off)
		_, calls["WriteAt"] = i.WriteAt(make([]byte, r.n), r.off)
		calls["WriteZeroes"] = i.WriteZeroes(r.off, r.n, true)
		calls["Discard"] = i.Discard(r.off, r.n)
		calls["Extents"] = i.Extents(r.off, r.n, func(disk.Extent) bool { return true })
		if v, ok := i.(disk.VectorImage); ok {
			_, calls["ReadvAt"] = v.ReadvAt([][]byte{make([]byte, r.n)}, r.off)
			_, calls["WritevAt"] = v.WritevAt([][]byte{make([]byte, r.n)}, r.off)
		}
		for name, err := range calls {
			if !errors.Is(err, disk.ErrOutOfRange) {
				t.Errorf("%s of %d bytes at %d: %v, want ErrOutOfRange", name, r.n, r.off, err)
			}
		}
	}
	if err := i.Discard(0, -1); !errors.Is(err, disk.ErrOutOfRange) {
		t.Errorf("negative length: %v", err)
	}
	for _, off := range []int64{0, 5, size} { // nothing is always in range
		if _, err := i.ReadAt(nil, off); err != nil {
			t.Errorf("empty read at %d: %v", off, err)
		}
		if _, err := i.WriteAt(nil, off); err != nil {
			t.Errorf("empty write at %d: %v", off, err)
		}
	}
}

// testConcurrent has several writers allocate neighbouring blocks while others read and flush. The race detector watches.
func testConcurrent(t *testing.T, s Subject) {
	const size, stripe, writers = 16 * mib, 4096, 4
	path := s.make(t, size)
	i := s.open(t, path, disk.OpenOptions{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			p := make([]byte, stripe)
			for range 300 {
				n := rng.Int64N(size/stripe/writers)*writers + int64(w)
				fill(p, n)
				if _, err := i.WriteAt(p, n*stripe); err != nil {
					t.Error(err)
					return
				}
				if rng.IntN(30) == 0 {
					if err := i.Flush(); err != nil {
						t.Error(err)
						return
					}
				}
				got := make([]byte, stripe)
				if _, err := i.ReadAt(got, n*stripe); err != nil || !bytes.Equal(got, p) {
					t.Errorf("stripe %d: not what was just written (%v)", n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	s.closeClean(t, i, path)
	i = s.open(t, path, disk.OpenOptions{ReadOnly: true})
	defer i.Close()
	got, want := make([]byte, stripe), make([]byte, stripe)
	for n := range int64(size / stripe) {
		if _, err := i.ReadAt(got, n*stripe); err != nil {
			t.Fatal(err)
		}
		fill(want, n)
		if !isZero(got) && !bytes.Equal(got, want) {
			t.Fatalf("stripe %d holds another stripe's data", n)
		}
	}
}

// fill makes contents that tell which stripe they belong to and are never zero.
func fill(p []byte, n int64) {
	for k := range p {
		p[k] = byte(n>>(8*(k%4))) | byte(k%2)
	}
}

func testReadOnly(t *testing.T, s Subject) {
	path := s.make(t, mib)
	i := s.open(t, path, disk.OpenOptions{ReadOnly: true})
	defer i.Close()
	if !i.Info().ReadOnly {
		t.Error("Info does not say that it is read-only")
	}
	_, werr := i.WriteAt([]byte{1}, 0)
	for name, err := range map[string]error{"WriteAt": werr, "WriteZeroes": i.WriteZeroes(0, 1, false), "Discard": i.Discard(0, 1)} {
		if !errors.Is(err, disk.ErrReadOnly) {
			t.Errorf("%s: %v, want ErrReadOnly", name, err)
		}
	}
	if err := i.Flush(); err != nil {
		t.Errorf("flush: %v", err)
	}
}

func testLocked(t *testing.T, s Subject) {
	path := s.make(t, mib)
	w := s.open(t, path, disk.OpenOptions{})
	for _, o := range []disk.OpenOptions{{}, {ReadOnly: true}} {
		if _, err := s.Open(path, o); !errors.Is(err, disk.ErrLocked) {
			t.Errorf("open %+v beside a writer: %v, want ErrLocked", o, err)
		}
	}
	s.open(t, path, disk.OpenOptions{ReadOnly: true, Shared: true}).Close()
	w.Close()
	r := s.open(t, path, disk.OpenOptions{ReadOnly: true})
	defer r.Close()
	s.open(t, path, disk.OpenOptions{ReadOnly: true}).Close()
	if _, err := s.Open(path, disk.OpenOptions{}); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("open for writing beside a reader: %v, want ErrLocked", err)
	}
}

func testClosed(t *testing.T, s Subject) {
	i := s.open(t, s.make(t, mib), disk.OpenOptions{})
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	_, rerr := i.ReadAt(make([]byte, 1), 0)
	_, werr := i.WriteAt(make([]byte, 1), 0)
	for name, err := range map[string]error{"ReadAt": rerr, "WriteAt": werr, "Flush": i.Flush(), "Close": i.Close()} {
		if !errors.Is(err, disk.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
}

// testLarge writes across boundaries of sparse images that would not fit here: where VMware cuts disks in pieces, and where 32 bits
// end.
func testLarge(t *testing.T, s Subject) {
	for _, size := range []int64{4<<30 + 4096, s.Large} {
		path := s.make(t, size)
		i := s.open(t, path, disk.OpenOptions{})
		places := []int64{0, 4192256*512 - 512, 1<<31 - 512 + 4096, 1<<32 - 512, size/2/4096*4096 + 512, size - 1024}
		p := make([]byte, 1024)
		for n, off := range places {
			fill(p, int64(n+1))
			if _, err := i.WriteAt(p, off); err != nil {
				t.Fatalf("%d of %d: %v", off, size, err)
			}
		}
		s.closeClean(t, i, path)
		i = s.open(t, path, disk.OpenOptions{ReadOnly: true})
		got := make([]byte, 1024)
		for n, off := range places {
			fill(p, int64(n+1))
			if _, err := i.ReadAt(got, off); err != nil || !bytes.Equal(got, p) {
				t.Fatalf("%d of %d: not what was written (%v)", off, size, err)
			}
		}
		i.Close()
	}
}

// testKilled takes away the files of an image in use, as they are when its writer is killed: they hold what was flushed, show no
// damage, and are spotless after opening and closing.
func testKilled(t *testing.T, s Subject) {
	const size = 12 * mib
	path := s.make(t, size)
	i := s.open(t, path, disk.OpenOptions{})
	m := model{want: make([]byte, size), rng: rand.New(rand.NewPCG(8, 8))}
	for range 3 {
		for range 30 {
			if err := m.step(i); err != nil {
				t.Fatal(err)
			}
		}
		if err := i.Flush(); err != nil {
			t.Fatal(err)
		}
		flushed := bytes.Clone(m.want)
		copy(m.want[size-mib:], bytes.Repeat([]byte{9}, mib))
		if _, err := i.WriteAt(m.want[size-mib:], size-mib); err != nil { // and this was not
			t.Fatal(err)
		}
		left := Dir(t)
		if err := os.CopyFS(left, os.DirFS(filepath.Dir(path))); err != nil {
			t.Fatal(err)
		}
		killed := filepath.Join(left, filepath.Base(path))
		if s.Check != nil {
			r, err := s.Check(killed, disk.OpenOptions{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			if worst, _ := r.Worst(); worst == disk.Damage {
				t.Fatalf("check: %+v", r.Problems)
			}
		}
		j := s.open(t, killed, disk.OpenOptions{})
		if err := holds(j, flushed[:size-mib]); err != nil {
			t.Fatal(err)
		}
		s.closeClean(t, j, killed)
		j = s.open(t, killed, disk.OpenOptions{ReadOnly: true})
		if err := holds(j, flushed[:size-mib]); err != nil {
			t.Fatalf("after recovery: %v", err)
		}
		j.Close()
	}
	s.closeClean(t, i, path)
}

// holds compares the start of an image.
func holds(i disk.Image, want []byte) error {
	got := make([]byte, min(len(want), 256<<10))
	for off := 0; off < len(want); off += len(got) {
		got = got[:min(len(got), len(want)-off)]
		if _, err := i.ReadAt(got, int64(off)); err != nil {
			return err
		}
		if k := mismatch(got, want[off:][:len(got)]); k >= 0 {
			return fmt.Errorf("byte %d reads as %#x, want %#x", off+k, got[k], want[off+k])
		}
		// What the next read leaves as it is must not pass for the next piece.
		clear(got)
	}
	return nil
}

// testExtents checks that extents cover a range exactly, that holes read as zeroes, and that stopping works.
func testExtents(t *testing.T, s Subject) {
	const size = 9*mib + 512
	path := s.make(t, size)
	i := s.open(t, path, disk.OpenOptions{})
	defer s.closeClean(t, i, path)
	for _, off := range []int64{0, 3 * mib, 3*mib + 70000, size - 5} {
		if _, err := i.WriteAt([]byte{1, 2, 3, 4, 5}, off); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []struct{ off, n int64 }{{0, size}, {1, size - 1}, {3*mib + 5, 100000}, {size, 0}, {mib, 1}} {
		at, data := r.off, int64(0) // of the image's own
		err := i.Extents(r.off, r.n, func(e disk.Extent) bool {
			if e.Offset != at || e.Length <= 0 {
				t.Fatalf("extent %+v, want one that starts at %d", e, at)
			}
			at += e.Length
			if e.Kind == disk.Data {
				if e.Depth == 0 {
					data += e.Length
				}
				return true
			}
			p := make([]byte, e.Length)
			if _, err := i.ReadAt(p, e.Offset); err != nil || !isZero(p) || e.Host >= 0 {
				t.Fatalf("%+v: %v, does not read as zeroes", e, err)
			}
			return true
		})
		if err != nil || at != r.off+r.n {
			t.Fatalf("extents of %+v end at %d: %v", r, at, err)
		}
		if r.n == size && data == 0 {
			t.Error("no extent holds the data that was written")
		}
		// Large blocks that are nearly empty are not passed for data, so that nobody reads their holes.
		if block := i.Info().BlockSize; r.n == size && block >= 512<<10 && data >= block {
			t.Errorf("%d bytes of data, in blocks of %d: the holes of the file are not told", data, block)
		}
	}
	calls := 0
	if err := i.Extents(0, size, func(disk.Extent) bool { calls++; return false }); err != nil || calls != 1 {
		t.Errorf("yield returned false once and was called %d times: %v", calls, err)
	}
}
