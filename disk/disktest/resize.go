package disktest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// Resize checks that images of s grow and shrink as [disk.Resizer] promises, with power cuts; above parents too if s.Parents is set, where
// an image may refuse what its format cannot express.
func Resize(t *testing.T, s Subject) {
	run := func(name string, test func(*testing.T)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
	run("Model", func(t *testing.T) { testResizeModel(t, s, false) })
	run("Refused", func(t *testing.T) { testResizeRefused(t, s) })
	run("Large", func(t *testing.T) { testResizeLarge(t, s) })
	crashes := map[string]resizing{
		"odd":      {3 * mib, 3 * mib, 3*mib + 7*sectorSize},
		"grow":     {3 * mib, 3 * mib, 33 * mib},
		"grow far": {3 * mib, 3 * mib, 5 << 30},
		"shrink":   {6 * mib, 6 * mib, 2*mib - sectorSize},
		"cut far":  {5 << 30, 5 << 30, 2 * mib},
	}
	for name, r := range crashes {
		run("Crash "+name, func(t *testing.T) { r.crash(t, s, false) })
	}
	if !s.Parents {
		return
	}
	above := s.above(func(i disk.Image) error { return checked(i, 6*mib) })
	run("Above Model", func(t *testing.T) { testResizeModel(t, above, true) })
	for name, r := range map[string]resizing{
		"grow":             {3 * mib, 3 * mib, 33 * mib},
		"shrink":           {6 * mib, 6 * mib, 2 * mib},
		"below the parent": {6 * mib, 2 * mib, 5 * mib},
	} {
		run("Above Crash "+name, func(t *testing.T) { r.crash(t, above, true) })
	}
}

// resizer opens an image that has to be a Resizer.
func (s Subject) resizer(t testing.TB, path string, o disk.OpenOptions) disk.Resizer {
	t.Helper()
	i := s.open(t, path, o)
	r, ok := i.(disk.Resizer)
	if !ok {
		t.Fatalf("%T is no disk.Resizer", i)
	}
	return r
}

// testResizeModel resizes again and again, by little and by much, and works on what it gets. With refusals an image may say that it cannot.
func testResizeModel(t *testing.T, s Subject, refusals bool) {
	const start = 3*mib + 512
	path := s.make(t, start)
	i := s.resizer(t, path, disk.OpenOptions{})
	m := model{want: make([]byte, start), rng: rand.New(rand.NewPCG(7, 7))}
	if _, err := i.ReadAt(m.want, 0); err != nil {
		t.Fatal(err)
	}
	scatter(t, i, m.want, 1)
	sizes := []int64{
		start + 512, start + 512 + i.Info().BlockSize, 2*mib - 512, 512, 40 * mib, 2 * mib, 2*mib + 512, 5*mib + 3*512, 33 * mib, mib, 0, 2 * mib, 6 * mib,
	}
	if s.AnySize {
		sizes = append(sizes, mib+1, 511, 1, 70001)
	}
	for n, size := range sizes {
		before := int64(len(m.want))
		err := i.Resize(size)
		if errors.Is(err, disk.ErrUnsupported) && (refusals || size == 0) {
			same(t, i, m.want)
			continue
		}
		if err != nil {
			t.Fatalf("from %d to %d: %v", before, size, err)
		}
		m.want = append(m.want[:min(before, size):min(before, size)], make([]byte, max(0, size-before))...)
		if info := i.Info(); i.Size() != size || info.Size != size {
			t.Fatalf("from %d to %d: now of size %d, Info says %d", before, size, i.Size(), info.Size)
		}
		if err := holds(i, m.want); err != nil {
			t.Fatalf("from %d to %d: %v", before, size, err)
		}
		if n%2 == 0 { // what comes next must not depend on what is in memory
			s.closeClean(t, i, path)
			i = s.resizer(t, path, disk.OpenOptions{})
		}
		if size > 0 {
			m.fill(m.want[size-min(size, 700):])
			if _, err := i.WriteAt(m.want[size-min(size, 700):], size-min(size, 700)); err != nil {
				t.Fatalf("write at the new end, %d: %v", size, err)
			}
			for range 12 {
				if err := m.step(i); err != nil {
					t.Fatalf("from %d to %d: %v", before, size, err)
				}
			}
		}
		if _, err := i.WriteAt([]byte{1}, size); !errors.Is(err, disk.ErrOutOfRange) {
			t.Fatalf("from %d to %d: write beyond the end: %v", before, size, err)
		}
		s.closeClean(t, i, path)
		i = s.resizer(t, path, disk.OpenOptions{})
		same(t, i, m.want)
	}
	s.closeClean(t, i, path)
}

// testResizeRefused asks for what cannot be, and expects the image as it was.
func testResizeRefused(t *testing.T, s Subject) {
	const size = 2 * mib
	path := s.make(t, size)
	i := s.resizer(t, path, disk.OpenOptions{})
	want := make([]byte, size)
	scatter(t, i, want, 2)
	bad := []int64{-1, -512, -1 << 63}
	if !s.AnySize {
		bad = append(bad, 1, size+1, size-511, 1<<62)
	}
	for _, n := range bad {
		if err := i.Resize(n); err == nil {
			t.Fatalf("resized to %d bytes", n)
		}
		same(t, i, want)
	}
	if err := i.Resize(size); err != nil {
		t.Errorf("to the same size: %v", err)
	}
	s.closeClean(t, i, path)
	if err := i.Resize(size + 512); !errors.Is(err, disk.ErrClosed) {
		t.Errorf("a closed image: %v, want ErrClosed", err)
	}
	i = s.resizer(t, path, disk.OpenOptions{ReadOnly: true})
	defer i.Close()
	if err := i.Resize(size + 512); !errors.Is(err, disk.ErrReadOnly) {
		t.Errorf("a read-only image: %v, want ErrReadOnly", err)
	}
	same(t, i, want)
}

// testResizeLarge grows a small image as far as it goes, and shrinks it again.
func testResizeLarge(t *testing.T, s Subject) {
	const small = 4 * mib
	path := s.make(t, small)
	i := s.resizer(t, path, disk.OpenOptions{})
	want := make([]byte, small)
	scatter(t, i, want, 3)
	far := []int64{4192256*512 - 512, 1<<31 - 512 + 4096, 1<<32 - 512, s.Large/2/4096*4096 + 512, s.Large - 1024}
	if err := i.Resize(s.Large); err != nil {
		t.Fatalf("to %d: %v", s.Large, err)
	}
	p, got := make([]byte, 1024), make([]byte, 1024)
	for n, off := range far {
		if _, err := i.ReadAt(got, off); err != nil || !isZero(got) {
			t.Fatalf("%d of %d does not read as zeroes after growth (%v)", off, s.Large, err)
		}
		fill(p, int64(n+1))
		if _, err := i.WriteAt(p, off); err != nil {
			t.Fatalf("%d of %d: %v", off, s.Large, err)
		}
	}
	s.closeClean(t, i, path)
	i = s.resizer(t, path, disk.OpenOptions{})
	if i.Size() != s.Large {
		t.Fatalf("reopened with %d bytes, want %d", i.Size(), s.Large)
	}
	if err := holds(i, want); err != nil {
		t.Fatal(err)
	}
	for n, off := range far {
		fill(p, int64(n+1))
		if _, err := i.ReadAt(got, off); err != nil || !bytes.Equal(got, p) {
			t.Fatalf("%d of %d: not what was written (%v)", off, s.Large, err)
		}
	}
	if err := i.Resize(mib); err != nil {
		t.Fatalf("back to 1 MiB: %v", err)
	}
	same(t, i, want[:mib])
	s.closeClean(t, i, path)
	i = s.resizer(t, path, disk.OpenOptions{})
	const again = 4<<30 + 4096
	if err := i.Resize(again); err != nil {
		t.Fatalf("to %d: %v", int64(again), err)
	}
	if err := holds(i, append(want[:mib:mib], make([]byte, small-mib)...)); err != nil {
		t.Fatal(err)
	}
	for _, off := range far[:3] {
		if _, err := i.ReadAt(got, off); err != nil || !isZero(got) {
			t.Fatalf("what was at %d before it was cut off is back (%v)", off, err)
		}
	}
	s.closeClean(t, i, path)
}

// resizing is a change of size whose crashes are replayed: an image is made with one size and brought to the first, and the way to the last
// is recorded.
type resizing struct{ made, first, last int64 }

// resizeMark is what is written at the end of a grown image.
const resizeMark = 1 << 41

func (r resizing) crash(t *testing.T, s Subject, refusals bool) {
	rng := rand.New(rand.NewPCG(uint64(r.last), 99))
	rec, path := NewRecorder(), crashPath+"/"+s.File
	o := s.Options
	o.Size, o.Files = r.made, rec
	if err := s.Create(path, o); err != nil {
		t.Fatal(err)
	}
	i := s.resizer(t, path, disk.OpenOptions{Files: rec})
	if err := checked(i, 3*mib); err != nil {
		t.Fatal(err)
	}
	if err := i.Resize(r.first); err != nil && !(refusals && errors.Is(err, disk.ErrUnsupported)) {
		t.Fatal(err)
	}
	was := i.Size()
	keep := make([]byte, min(was, r.last, 3*mib))
	if _, err := i.ReadAt(keep, 0); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	rec.Settle()

	i = s.resizer(t, path, disk.OpenOptions{Files: rec})
	err := i.Resize(r.last)
	if refusals && errors.Is(err, disk.ErrUnsupported) {
		t.Skipf("refused: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	done, flushed := rec.Events(), 1<<30
	if r.last > was {
		if _, err := i.WriteAt(contents(resizeMark, 2), r.last-2*sectorSize); err != nil {
			t.Fatal(err)
		}
		if err := i.Flush(); err != nil {
			t.Fatal(err)
		}
		flushed = rec.Events()
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	between := max(1, rec.Events()/20)
	states, err := rec.Crashes(rng, between, func(n int, left *Recorder) error {
		return resized{s, path, left, was, r.last, keep, n >= done, n >= flushed}.survived()
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events, %d crashes", rec.Events(), states)
}

// resized is what a crash left of an image while it was brought from one size to another.
type resized struct {
	s             Subject
	path          string
	left          *Recorder
	from, to      int64
	keep          []byte // the start of the disk, before and after
	done, flushed bool   // Resize had returned; so had a Flush after the write at the new end
}

func (r resized) survived() error {
	i, err := r.s.afterCrash(r.path, r.left)
	if err != nil {
		return err
	}
	size := i.Size()
	if size != r.to && (r.done || size != r.from) {
		return fmt.Errorf("%d bytes, was %d and is to be %d (resized: %t)", size, r.from, r.to, r.done)
	}
	if err := r.look(i, r.flushed); err != nil {
		return err
	}
	if err := i.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if err := r.s.spotless(r.path, r.left); err != nil {
		return fmt.Errorf("recovered: %w", err)
	}
	// Whoever was interrupted tries again.
	if i, err = r.s.Open(r.path, disk.OpenOptions{Files: r.left}); err != nil {
		return fmt.Errorf("open after recovery: %w", err)
	}
	if i.Size() != size {
		return fmt.Errorf("recovery changed the size from %d to %d", size, i.Size())
	}
	if err := i.(disk.Resizer).Resize(r.to); err != nil {
		return fmt.Errorf("resize again: %w", err)
	}
	if err := r.look(i, r.flushed); err != nil {
		return fmt.Errorf("resized again: %w", err)
	}
	mark := contents(resizeMark, 2)
	if _, err := i.WriteAt(mark, r.to-int64(len(mark))); err != nil {
		return fmt.Errorf("write at the new end: %w", err)
	}
	if err := i.Close(); err != nil {
		return fmt.Errorf("close again: %w", err)
	}
	if err := r.s.spotless(r.path, r.left); err != nil {
		return fmt.Errorf("resized again: %w", err)
	}
	if i, err = r.s.Open(r.path, disk.OpenOptions{ReadOnly: true, Files: r.left}); err != nil {
		return fmt.Errorf("open at last: %w", err)
	}
	defer i.Close()
	if at := r.to - int64(len(mark)); at < int64(len(r.keep)) {
		r.keep = bytes.Clone(r.keep)
		copy(r.keep[at:], mark)
	}
	return r.look(i, true)
}

// look expects what is kept, zeroes in what was added, and at its end what was written there; that may be missing unless it is due.
func (r resized) look(i disk.Image, due bool) error {
	if err := holds(i, r.keep); err != nil {
		return err
	}
	size := i.Size()
	if size <= r.from {
		return nil
	}
	at := size - 2*sectorSize
	for n := range int64(2) {
		p := make([]byte, sectorSize)
		if _, err := i.ReadAt(p, at+n*sectorSize); err != nil {
			return err
		}
		if !bytes.Equal(p, contents(resizeMark, 1)) && (due || !isZero(p)) {
			return fmt.Errorf("the last sectors of %d bytes hold neither zeroes nor what was written (flushed: %t)", size, due)
		}
	}
	return zeroesIn(i, r.from, at)
}

// zeroesIn reads what an image says is stored in [from, to), and some of the rest, and expects zeroes.
func zeroesIn(i disk.Image, from, to int64) error {
	const piece = 256 << 10
	places := []int64{from, (from + to) / 2, to - piece}
	if err := i.Extents(from, to-from, func(e disk.Extent) bool {
		if e.Kind == disk.Data {
			places = append(places, e.Offset, e.Offset+e.Length-piece)
		}
		return len(places) < 100
	}); err != nil {
		return err
	}
	for _, at := range places {
		at = max(from, at)
		p := make([]byte, max(0, min(piece, to-at)))
		if _, err := i.ReadAt(p, at); err != nil {
			return err
		}
		if !isZero(p) {
			return fmt.Errorf("what was added does not read as zeroes in the %d bytes at %d", len(p), at)
		}
	}
	return nil
}
