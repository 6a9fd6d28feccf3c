package machine

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sharevm/vmm/machine/snapshot"
	"github.com/sharevm/vmm/vmm/memory"
)

// TestFollow looks at what grows and stops growing, at what grows for ever, and at what fails; and not at all once it is stopped.
func TestFollow(t *testing.T) {
	const first, last = time.Millisecond, 16 * time.Millisecond
	sizes := func(all ...int) (look func() (int, bool), looks *int) {
		n := 0
		return func() (int, bool) {
			n++
			size := all[min(n, len(all))-1]
			return size, size > 0
		}, &n
	}
	stopped := make(chan struct{})
	close(stopped)
	for _, c := range []struct {
		sizes []int
		stop  chan struct{}
		want  int
	}{
		{[]int{100, 200, 300, 310, 1000}, nil, 4},
		{[]int{100}, nil, 2},
		{slices.Repeat([]int{1, 10, 100, 1000, 10000}, 9), nil, 5},
		{[]int{100, -1, 200}, nil, 2},
		{[]int{100, 200}, stopped, 0},
	} {
		look, looks := sizes(c.sizes...)
		begun := time.Now()
		follow(first, last, c.stop, look)
		if took := time.Since(begun); *looks != c.want || c.want > 0 && took < first<<(c.want-1) {
			t.Errorf("%v: %d looks within %v, want %d", c.sizes, *looks, took, c.want)
		}
	}
}

// TestRehearse notes which pages a guest has used when a rehearsal is over, and nothing where it ends otherwise.
func TestRehearse(t *testing.T) {
	const size = 4 << 20
	for _, whole := range []bool{false, true} {
		dir, unknown := t.TempDir(), working{}
		if r := unknown.reading(); r != memory.Wide {
			t.Errorf("where nothing is known it reads in the way %d", r)
		}
		f, err := os.Create(filepath.Join(dir, snapshot.MemoryFile))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		w := openWorking(dir)
		if err := w.rehearse(f); err != nil {
			t.Fatal(err)
		}
		b := &board{m: &Machine{log: slog.New(slog.DiscardHandler)}, from: &Snapshot{memory: f, working: w}}
		if r := w.reading(); r != memory.Single {
			t.Errorf("it reads in the way %d", r)
		}
		if other := openWorking(dir); other.rehearse(f) == nil {
			t.Error("two rehearse at a time")
		}
		if b.mem, err = memory.New(memory.Config{Size: size, LowLimit: size, HighBase: 1 << 32, From: f, Reading: w.reading()}); err != nil {
			t.Fatal(err)
		}
		defer b.mem.Close()
		b.record()
		if err := b.mem.Write(5*4096, []byte{1}); err != nil {
			t.Fatal(err)
		}
		if whole {
			b.m.Rehearsed()
		}
		for _, c := range b.closers {
			c.Close()
		}
		set, unused, err := snapshot.OpenWorking(dir)
		if unused != nil {
			unused.Close()
		}
		if used := slices.Contains(set, memory.Extent{First: 5, Pages: 1, Written: true}); err != nil || used != whole || !whole && set != nil {
			t.Errorf("over %t: %v, %v", whole, set, err)
		}
		if whole {
			if again := openWorking(dir); again.reading() != memory.Near || again.rehearse(f) == nil {
				t.Errorf("what is known is found out once more, or the rest read in the way %d", again.reading())
			}
		}
	}
}
