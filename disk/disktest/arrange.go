package disktest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// Arrange checks that blocks of images of s can be dropped and moved as [disk.Arrangeable] promises, with power cuts; above parents too if
// s.Parents is set. S.Options should ask for small blocks where the format's usual ones have more than 2 MiB.
func Arrange(t *testing.T, s Subject) {
	run := func(name string, test func(*testing.T, Subject), s Subject) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
	run("Model", testArrangeModel, s)
	run("Shrinks", testArrangeShrinks, s)
	run("Large", testArrangeLarge, s)
	run("ReadOnly", testArrangeReadOnly, s)
	run("Crash", testArrangeCrash, s)
	if s.Parents {
		above := s.above(checker)
		run("Above Model", testArrangeModel, above)
		run("Above Crash", testArrangeCrash, above)
	}
}

// arranger has the arenas of an image.
func (s Subject) arranger(t testing.TB, i disk.Image) []disk.Arena {
	t.Helper()
	a, ok := i.(disk.Arrangeable)
	if !ok {
		t.Fatalf("%T is no disk.Arrangeable", i)
	}
	arenas, err := a.Arenas()
	if err != nil {
		t.Fatalf("arenas: %v", err)
	}
	if len(arenas) == 0 {
		t.Fatal("no arenas")
	}
	end := int64(0)
	for _, r := range arenas {
		size, blocks := r.BlockSize(), r.Blocks()
		if size <= 0 || blocks <= 0 || r.Base() < end || r.Base()+(blocks-1)*size >= i.Size() || r.Name() == "" {
			t.Fatalf("arena %q: %d blocks of %d from %d, the disk has %d bytes and the one before ends at %d", r.Name(), blocks, size, r.Base(), i.Size(), end)
		}
		end = r.Base() + blocks*size
		used := map[int64]int64{}
		for b := range min(blocks, 1<<16) {
			slot := r.Slot(b)
			if slot < -1 || slot >= r.Slots() {
				t.Fatalf("arena %q: block %d lies in slot %d of %d", r.Name(), b, slot, r.Slots())
			}
			if other, ok := used[slot]; ok && slot >= 0 {
				t.Fatalf("arena %q: blocks %d and %d lie in slot %d", r.Name(), other, b, slot)
			}
			used[slot] = b
		}
	}
	return arenas
}

// arranging is a sequence of random arrangements of one arena.
type arranging struct {
	disk.Arena
	rng  *rand.Rand
	size int64          // of the disk
	held map[int64]bool // slots that were left since the last Flush
	// dropped, if not nil, is told when [off, off+length) was made zeroes.
	dropped func(off, length int64)
	// flush, if not nil, is called around a Flush.
	flush func(do func() error) error
}

// stored returns a random block that is stored, or -1.
func (a *arranging) stored() int64 {
	first := a.rng.Int64N(a.Blocks())
	for n := range a.Blocks() {
		if b := (first + n) % a.Blocks(); a.Slot(b) >= 0 {
			return b
		}
	}
	return -1
}

// free returns a random slot that is free, one beyond the end now and then.
func (a *arranging) free() int64 {
	if a.rng.IntN(4) == 0 {
		return a.Slots() + a.rng.Int64N(3)
	}
	used := map[int64]bool{}
	for b := range a.Blocks() {
		used[a.Slot(b)] = true
	}
	first := a.rng.Int64N(a.Slots())
	for n := range a.Slots() {
		if s := (first + n) % a.Slots(); !used[s] && !a.held[s] {
			return s
		}
	}
	return a.Slots()
}

func (a *arranging) sync() error {
	do := a.Flush
	if a.flush != nil {
		do = func() error { return a.flush(a.Flush) }
	}
	if err := do(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	clear(a.held)
	return nil
}

// step does one random thing.
func (a *arranging) step() error {
	op, block := a.rng.IntN(10), a.stored()
	if op < 7 && block < 0 {
		op = 7
	}
	switch op {
	case 0:
		return a.drop(block)
	case 1, 2, 3, 4, 5, 6:
		from, to := a.Slot(block), a.free()
		err := a.Move(block, to)
		if errors.Is(err, disk.ErrFull) && to >= a.Slots() {
			return nil // some formats number their slots no further than their blocks
		}
		if err != nil {
			return fmt.Errorf("move block %d from slot %d to %d of %d: %w", block, from, to, a.Slots(), err)
		}
		if got := a.Slot(block); got != to {
			return fmt.Errorf("block %d was moved from slot %d to %d and lies in %d", block, from, to, got)
		}
		if to >= a.Slots() {
			return fmt.Errorf("block %d was moved to slot %d, and there are only %d", block, to, a.Slots())
		}
		a.held[from] = true
	case 7, 8:
		return a.sync()
	case 9:
		if err := a.sync(); err != nil {
			return err
		}
		if err := a.Trim(); err != nil {
			return fmt.Errorf("trim: %w", err)
		}
	}
	return nil
}

func (a *arranging) drop(block int64) error {
	from := a.Slot(block)
	off := a.Base() + block*a.BlockSize()
	n := min(a.BlockSize(), a.size-off)
	err := a.Drop(block)
	if errors.Is(err, disk.ErrUnsupported) {
		return nil // above a parent that would shine through
	}
	if err != nil {
		return fmt.Errorf("drop block %d: %w", block, err)
	}
	if got := a.Slot(block); got != -1 {
		return fmt.Errorf("block %d was dropped, and lies in slot %d", block, got)
	}
	a.held[from] = true
	if a.dropped != nil {
		a.dropped(off, n)
	}
	return nil
}

// arrangeable makes an image of some blocks, at most limit bytes as long as that makes three, and returns its path and content.
func (s Subject) arrangeable(t *testing.T, limit int64, files disk.Files) (path string, want []byte) {
	t.Helper()
	o := s.Options
	o.Size, o.Files = mib, files
	path = Dir(t) + "/" + s.File
	if err := s.Create(path, o); err != nil {
		t.Fatal(err)
	}
	i := s.open(t, path, disk.OpenOptions{Files: files})
	block := s.arranger(t, i)[0].BlockSize()
	i.Close()
	path = Dir(t) + "/" + s.File
	o.Size = max(3, min(limit/block, 100))*block - 3*sectorSize
	if err := s.Create(path, o); err != nil {
		t.Fatal(err)
	}
	i = s.open(t, path, disk.OpenOptions{Files: files})
	want = make([]byte, o.Size)
	if _, err := i.ReadAt(want, 0); err != nil {
		t.Fatal(err)
	}
	scatter(t, i, want, 4)
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	return path, want
}

// testArrangeModel arranges at random, writes in between, and expects the content of a model.
func testArrangeModel(t *testing.T, s Subject) {
	path, want := s.arrangeable(t, 24*mib, nil)
	m := model{want: want, rng: rand.New(rand.NewPCG(1, 17))}
	for round := range 6 {
		i := s.open(t, path, disk.OpenOptions{})
		for _, r := range s.arranger(t, i) {
			a := arranging{Arena: r, rng: m.rng, size: i.Size(), held: map[int64]bool{}, dropped: func(off, n int64) { clear(want[off : off+n]) }}
			for step := range 40 {
				if err := a.step(); err != nil {
					t.Fatalf("round %d, step %d: %v", round, step, err)
				}
				if step%13 == 12 {
					if err := holds(i, want); err != nil {
						t.Fatalf("round %d, step %d: %v", round, step, err)
					}
				}
			}
			if round%2 == 0 { // else Close has to do it
				if err := a.sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		same(t, i, want)
		if round%3 == 0 {
			s.closeClean(t, i, path)
			i = s.open(t, path, disk.OpenOptions{})
			same(t, i, want)
		}
		for step := range 12 { // the image goes on as if nothing had happened
			if err := m.step(i); err != nil {
				t.Fatalf("round %d, step %d after it: %v", round, step, err)
			}
		}
		same(t, i, want)
		s.closeClean(t, i, path)
		i = s.open(t, path, disk.OpenOptions{ReadOnly: true})
		same(t, i, want)
		i.Close()
	}
}

// testArrangeShrinks drops every other block of a full image, fills the gaps from the end, and expects about half of the file to go.
func testArrangeShrinks(t *testing.T, s Subject) {
	path, want := s.arrangeable(t, 24*mib, nil)
	i := s.open(t, path, disk.OpenOptions{})
	for k := range want {
		want[k] = byte(k>>9) | 1
	}
	if _, err := i.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	s.closeClean(t, i, path)
	i = s.open(t, path, disk.OpenOptions{})
	a := arranging{Arena: s.arranger(t, i)[0], size: i.Size(), held: map[int64]bool{}, dropped: func(off, n int64) { clear(want[off : off+n]) }}
	before, err := os.Stat(a.Name())
	if err != nil {
		t.Fatal(err)
	}
	dropped := int64(0)
	for b := int64(0); b < a.Blocks(); b += 2 {
		if err := a.drop(b); err != nil {
			t.Fatal(err)
		}
		dropped++
	}
	if err := a.sync(); err != nil {
		t.Fatal(err)
	}
	for b := range a.Blocks() {
		if a.Slot(b) >= a.Blocks()-dropped {
			if err := a.Move(b, lowest(a)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.sync(); err != nil {
		t.Fatal(err)
	}
	if err := a.Trim(); err != nil {
		t.Fatal(err)
	}
	if a.Slots() > a.Blocks()-dropped+1 {
		t.Errorf("%d slots are left for %d blocks", a.Slots(), a.Blocks()-dropped)
	}
	same(t, i, want)
	s.closeClean(t, i, path)
	after, err := os.Stat(a.Name())
	if err != nil {
		t.Fatal(err)
	}
	if gone := before.Size() - after.Size(); gone < dropped*a.BlockSize()/2 {
		t.Errorf("%d blocks of %d bytes were dropped, and the file went from %d bytes to %d", dropped, a.BlockSize(), before.Size(), after.Size())
	}
	i = s.open(t, path, disk.OpenOptions{})
	same(t, i, want)
	for k := range want {
		want[k] = byte(k>>9) | 2
	}
	if _, err := i.WriteAt(want, 0); err != nil { // the file grows again
		t.Fatal(err)
	}
	same(t, i, want)
	s.closeClean(t, i, path)
}

// lowest returns the first free slot.
func lowest(a arranging) int64 {
	used := map[int64]bool{}
	for b := range a.Blocks() {
		used[a.Slot(b)] = true
	}
	slot := int64(0)
	for used[slot] || a.held[slot] {
		slot++
	}
	return slot
}

// testArrangeLarge arranges some far blocks of a disk that may lie in several files.
func testArrangeLarge(t *testing.T, s Subject) {
	const size = 5 << 30
	path := s.make(t, size)
	i := s.open(t, path, disk.OpenOptions{})
	p, got := make([]byte, 1024), make([]byte, 1024)
	places := []int64{0, 1 << 30, 1<<31 - 512, 3 << 30, 1<<32 + 512, size - 1024}
	for n, off := range places {
		fill(p, int64(n+1))
		if _, err := i.WriteAt(p, off); err != nil {
			t.Fatal(err)
		}
	}
	s.closeClean(t, i, path)
	i = s.open(t, path, disk.OpenOptions{})
	for _, a := range s.arranger(t, i) {
		for _, off := range places {
			b := (off - a.Base()) / a.BlockSize()
			if off < a.Base() || b >= a.Blocks() {
				continue
			}
			if a.Slot(b) < 0 {
				t.Fatalf("arena %q does not store block %d, to which was written", a.Name(), b)
			}
			if err := a.Move(b, a.Slots()+1); err != nil && !errors.Is(err, disk.ErrFull) {
				t.Fatal(err)
			}
		}
		if err := a.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := a.Trim(); err != nil {
			t.Fatal(err)
		}
	}
	look := func(what string) {
		t.Helper()
		for n, off := range places {
			fill(p, int64(n+1))
			if _, err := i.ReadAt(got, off); err != nil || !bytes.Equal(got, p) {
				t.Fatalf("%s: not what was written at %d (%v)", what, off, err)
			}
		}
	}
	look("arranged")
	s.closeClean(t, i, path)
	i = s.open(t, path, disk.OpenOptions{ReadOnly: true})
	defer i.Close()
	look("reopened")
}

func testArrangeReadOnly(t *testing.T, s Subject) {
	path, want := s.arrangeable(t, 4*mib, nil)
	i := s.open(t, path, disk.OpenOptions{ReadOnly: true})
	defer i.Close()
	a, ok := i.(disk.Arrangeable)
	if !ok {
		t.Fatalf("%T is no disk.Arrangeable", i)
	}
	if arenas, err := a.Arenas(); err == nil { // counting is allowed, changing is not
		b := (&arranging{Arena: arenas[0], rng: rand.New(rand.NewPCG(1, 1))}).stored()
		if err := arenas[0].Move(b, arenas[0].Slots()); !errors.Is(err, disk.ErrReadOnly) {
			t.Errorf("move: %v, want ErrReadOnly", err)
		}
		if err := arenas[0].Drop(b); !errors.Is(err, disk.ErrReadOnly) {
			t.Errorf("drop: %v, want ErrReadOnly", err)
		}
	} else if !errors.Is(err, disk.ErrReadOnly) {
		t.Errorf("arenas: %v, want ErrReadOnly", err)
	}
	same(t, i, want)
}

// testArrangeCrash replays crashes while blocks are dropped and moved, and written to again in between.
func testArrangeCrash(t *testing.T, s Subject) {
	rec := NewRecorder()
	path, want := s.arrangeable(t, 8*mib, rec)
	rng := rand.New(rand.NewPCG(3, 99))
	h := &history{sectors: make([][]version, len(want)/sectorSize), flushes: []flush{{}}}
	i := s.open(t, path, disk.OpenOptions{Files: rec})
	for first := int64(0); first < int64(len(h.sectors)); first += 150 { // what scatter left would tear a sector
		n := min(100, int64(len(h.sectors))-first)
		if _, err := i.WriteAt(contents(1<<50+uint64(first), n), first*sectorSize); err != nil {
			t.Fatal(err)
		}
		if err := i.WriteZeroes((first+n)*sectorSize, min(50, int64(len(h.sectors))-first-n)*sectorSize, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	h.initial = s.ids(t, path, rec)
	rec.Settle()

	for session := range 2 {
		i := s.open(t, path, disk.OpenOptions{Files: rec})
		for range 2 {
			for _, r := range s.arranger(t, i) {
				a := arranging{Arena: r, rng: rng, size: i.Size(), held: map[int64]bool{}, dropped: func(off, n int64) {
					for k := off / sectorSize; k < (off+n)/sectorSize; k++ {
						h.sectors[k] = append(h.sectors[k], version{event: rec.Events()})
					}
					rec.tick()
				}, flush: func(do func() error) error {
					start := rec.Events()
					if err := do(); err != nil {
						return err
					}
					h.flushes = append(h.flushes, flush{start, rec.Events()})
					return nil
				}}
				for range 12 {
					if err := a.step(); err != nil {
						t.Fatal(err)
					}
				}
				if err := a.sync(); err != nil {
					t.Fatal(err)
				}
			}
			if session == 0 {
				for range 6 {
					if err := h.step(i, rec, rng); err != nil {
						t.Fatal(err)
					}
				}
				start := rec.Events()
				if err := i.Flush(); err != nil {
					t.Fatal(err)
				}
				h.flushes = append(h.flushes, flush{start, rec.Events()})
			}
		}
		start := rec.Events()
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		h.flushes = append(h.flushes, flush{start, rec.Events()})
	}
	states, err := rec.Crashes(rng, max(1, rec.Events()/40), func(n int, left *Recorder) error { return h.survived(s, path, left, n, rng) })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events, %d crashes", rec.Events(), states)
}
