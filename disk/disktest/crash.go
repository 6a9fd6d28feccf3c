package disktest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// Crash has random work done on an image whose files are recorded, kills the writer or cuts the power at each sync and at random
// moments in between, with unsynced changes lost and reordered, and expects of each image that is left: it checks without damage, opens, holds all that was
// flushed, has nothing at all left to complain of once it was opened for writing, and can be written on.
func Crash(t *testing.T, s Subject) {
	seeds := uint64(3)
	if raceDetector || testing.Short() {
		seeds = 1 // nothing here runs at the same time as anything else
	}
	crashes(t, s, seeds)
}

func crashes(t *testing.T, s Subject, seeds uint64) {
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			crash(t, s, seed)
		})
	}
}

const crashPath = "disk"

func crash(t *testing.T, s Subject, seed uint64) {
	const size = 3 * mib
	rng := rand.New(rand.NewPCG(seed, 99))
	rec := NewRecorder()
	o := s.Options
	o.Size, o.Files = size, rec
	path := crashPath + "/" + s.File
	if err := s.Create(path, o); err != nil {
		t.Fatal(err)
	}
	rec.Settle()

	h := &history{sectors: make([][]version, size/sectorSize), flushes: []flush{{}}, initial: s.ids(t, path, rec)}
	for range 2 { // a crash in the second session must not lose the first
		i := s.open(t, path, disk.OpenOptions{Files: rec})
		for range 40 {
			if err := h.step(i, rec, rng); err != nil {
				t.Fatal(err)
			}
		}
		start := rec.Events()
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		h.flushes = append(h.flushes, flush{start, rec.Events()})
	}

	states, err := rec.Crashes(rng, 32, func(n int, left *Recorder) error { return h.survived(s, path, left, n, rng) })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events, %d crashes", rec.Events(), states)
}

// ids reads what each sector of a new image repeats: zeroes, or what a parent has.
func (s Subject) ids(t *testing.T, path string, files disk.Files) (out []uint64) {
	t.Helper()
	i := s.open(t, path, disk.OpenOptions{ReadOnly: true, Files: files})
	defer i.Close()
	p := make([]byte, i.Size())
	if _, err := i.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	for ; len(p) > 0; p = p[sectorSize:] {
		out = append(out, binary.LittleEndian.Uint64(p))
	}
	return out
}

// version is a write to a sector: its contents are id, repeated.
type version struct {
	event int // the number of events when it was issued
	id    uint64
	maybe bool // a discard: it may have left the sector as it was
}

// flush covers what was written before event start, from event end on.
type flush struct{ start, end int }

// history is what was asked of a disk.
type history struct {
	initial []uint64
	sectors [][]version
	flushes []flush
	nextID  uint64
}

// step does one random thing.
func (h *history) step(i disk.Image, rec *Recorder, rng *rand.Rand) error {
	first := rng.Int64N(int64(len(h.sectors)))
	n := 1 + rng.Int64N(min(int64(len(h.sectors))-first, []int64{4, 64, 700}[rng.IntN(3)]))
	v := version{event: rec.Events()}
	note := func() {
		for k := first; k < first+n; k++ {
			h.sectors[k] = append(h.sectors[k], v)
		}
	}
	switch rng.IntN(10) {
	case 0:
		note()
		return i.WriteZeroes(first*sectorSize, n*sectorSize, rng.IntN(2) == 0)
	case 1:
		v.maybe = true
		note()
		return i.Discard(first*sectorSize, n*sectorSize)
	case 2, 3:
		if err := i.Flush(); err != nil {
			return err
		}
		h.flushes = append(h.flushes, flush{v.event, rec.Events()})
		return nil
	}
	h.nextID++
	v.id = h.nextID
	note()
	_, err := i.WriteAt(contents(v.id, n), first*sectorSize)
	return err
}

// contents is n sectors that hold id.
func contents(id uint64, n int64) []byte {
	return bytes.Repeat(binary.LittleEndian.AppendUint64(nil, id), int(n*sectorSize/8))
}

// survived opens what a crash after n events left, and looks for the flushed data.
func (h *history) survived(s Subject, path string, left *Recorder, n int, rng *rand.Rand) error {
	i, err := s.afterCrash(path, left)
	if err != nil {
		return err
	}
	got := make([]byte, len(h.sectors)*sectorSize)
	if _, err := i.ReadAt(got, 0); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	covered := 0
	for _, f := range h.flushes {
		if f.end <= n {
			covered = f.start
		}
	}
	for k, versions := range h.sectors {
		if err := allowed(got[k*sectorSize:][:sectorSize], h.initial[k], versions, covered, n); err != nil {
			return fmt.Errorf("sector %d: %w", k, err)
		}
	}
	// Opening for writing and closing is all that it takes to recover.
	if err := i.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if err := s.spotless(path, left); err != nil {
		return fmt.Errorf("recovered: %w", err)
	}
	if i, err = s.Open(path, disk.OpenOptions{Files: left}); err != nil {
		return fmt.Errorf("open after recovery: %w", err)
	}
	return goOn(s, i, path, left, got, rng)
}

// afterCrash opens what a crash left, in which nothing may be damaged.
func (s Subject) afterCrash(path string, left *Recorder) (disk.Image, error) {
	if s.Check != nil {
		r, err := s.Check(path, disk.OpenOptions{ReadOnly: true, Files: left})
		if err != nil {
			return nil, fmt.Errorf("check: %w", err)
		}
		if worst, _ := r.Worst(); worst == disk.Damage {
			return nil, fmt.Errorf("check: %+v", r.Problems)
		}
	}
	i, err := s.Open(path, disk.OpenOptions{Files: left})
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return i, nil
}

// spotless expects that Check finds nothing at all.
func (s Subject) spotless(path string, files disk.Files) error {
	if s.Check == nil {
		return nil
	}
	r, err := s.Check(path, disk.OpenOptions{ReadOnly: true, Files: files})
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if len(r.Problems) > 0 {
		return fmt.Errorf("check: %+v", r.Problems)
	}
	return nil
}

// allowed says whether a sector may read as p when flushes covered the versions before one event and the crash came at another.
func allowed(p []byte, initial uint64, versions []version, covered, crash int) error {
	may := []uint64{initial}
	for _, v := range versions {
		switch {
		case v.event >= crash:
			continue
		case v.event < covered && !v.maybe:
			may = may[:0]
		}
		may = append(may, v.id)
	}
	id := binary.LittleEndian.Uint64(p)
	if !repeats(p, 8) {
		return fmt.Errorf("holds parts of different writes")
	}
	for _, m := range may {
		if m == id {
			return nil
		}
	}
	return fmt.Errorf("holds write %d, may hold %v", id, may)
}

// goOn writes to an image that survived and expects everything else in place.
func goOn(s Subject, i disk.Image, path string, left *Recorder, want []byte, rng *rand.Rand) error {
	const n = 40
	first := rng.IntN(len(want)/sectorSize - n)
	mark := contents(1<<40, n)
	copy(want[first*sectorSize:], mark)
	if _, err := i.WriteAt(mark, int64(first)*sectorSize); err != nil {
		return fmt.Errorf("write after the crash: %w", err)
	}
	if err := i.Close(); err != nil {
		return fmt.Errorf("close after the crash: %w", err)
	}
	if err := s.spotless(path, left); err != nil {
		return fmt.Errorf("after going on: %w", err)
	}
	i, err := s.Open(path, disk.OpenOptions{ReadOnly: true, Files: left})
	if err != nil {
		return fmt.Errorf("open again: %w", err)
	}
	defer i.Close()
	if err := holds(i, want); err != nil {
		return fmt.Errorf("after going on: %w", err)
	}
	return nil
}
