package throttle

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sharevm/vmm/internal/clock"
)

var epoch = time.Unix(1_800_000_000, 0)

// worker has work without end for a gate and does it whenever it may.
type worker struct {
	gate   *Gate
	waiter *Waiter
	size   func() int64
	jobs   int64
	bytes  int64
}

func (w *worker) run() {
	for w.waiter.Pass(w.gate) {
		n := w.size()
		w.gate.Pay(1, n)
		w.jobs++
		w.bytes += n
	}
}

func newWorker(c clock.Clock, g *Gate, size func() int64) *worker {
	w := &worker{gate: g, size: size}
	w.waiter = NewWaiter(c, w.run)
	return w
}

func fixed(n int64) func() int64 { return func() int64 { return n } }

// TestRateHolds lets greedy workers run for a minute: what passes must be within 1 % of rate and burst together.
func TestRateHolds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, test := range []struct {
		rate    Rate
		largest int64 // job; they are of all sizes from the smallest on
		fixed   bool  // or all of the largest
		workers int
	}{
		{Rate{PerSecond: 1 << 20}, 4096, true, 1},
		{Rate{PerSecond: 1 << 20}, 1 << 20, true, 1},
		{Rate{PerSecond: 10 << 20, Burst: 64 << 10}, 1 << 20, false, 3},
		{Rate{PerSecond: 100, Burst: 1}, 1, true, 1},
		{Rate{PerSecond: 3}, 1, true, 4},
		{Rate{PerSecond: 1_000_000, Burst: 5_000_000}, 1500, true, 2},
		{Rate{PerSecond: 10 << 30}, 64 << 20, true, 1},
	} {
		t.Run(fmt.Sprint(test.rate, test.workers), func(t *testing.T) {
			c := clock.NewFake(epoch)
			b := NewBucket(c, test.rate)
			size := fixed(test.largest)
			if !test.fixed {
				size = func() int64 { return 1 + random.Int64N(test.largest) }
			}
			var all []*worker
			for range test.workers {
				all = append(all, newWorker(c, &Gate{Bytes: []*Bucket{b}}, size))
			}
			for _, w := range all {
				w.run()
			}
			const seconds = 60
			c.Advance(seconds * time.Second)
			var got int64
			for _, w := range all {
				got += w.bytes
			}
			want := float64(seconds*test.rate.PerSecond) + test.rate.burst()
			slack := want/100 + float64(test.largest)*float64(test.workers) // the last job of each may still be owed for
			if d := float64(got) - want; d > slack || d < -slack {
				t.Errorf("%d units passed, want %.0f within %.0f", got, want, slack)
			}
		})
	}
}

// TestBothBounds has a gate of operations and bytes: whichever is scarcer rules.
func TestBothBounds(t *testing.T) {
	for _, test := range []struct{ size, want int64 }{{512, 100 * 512}, {1 << 20, 10 << 20}} {
		c := clock.NewFake(epoch)
		g := &Gate{
			Operations: []*Bucket{NewBucket(c, Rate{PerSecond: 1000}), NewBucket(c, Rate{PerSecond: 100})},
			Bytes:      []*Bucket{NewBucket(c, Rate{PerSecond: 10 << 20})},
		}
		w := newWorker(c, g, fixed(test.size))
		w.run()
		c.Advance(10 * time.Second)
		was := w.bytes
		c.Advance(10 * time.Second)
		if operations, bytes := g.Passed(); operations != w.jobs || bytes != w.bytes {
			t.Errorf("%d jobs of %d bytes are counted, %d of %d were done", operations, bytes, w.jobs, w.bytes)
		}
		if got := (w.bytes - was) / 10; got < test.want*95/100 || got > test.want*105/100 {
			t.Errorf("%d bytes a second in jobs of %d, want %d", got, test.size, test.want)
		}
	}
}

// TestBurst saves up while there is nothing to do, and no more than the burst.
func TestBurst(t *testing.T) {
	c := clock.NewFake(epoch)
	b := NewBucket(c, Rate{PerSecond: 10, Burst: 50})
	at := func(want int) {
		t.Helper()
		n := 0
		for b.Delay() == 0 && n < 1000 {
			b.Take(1)
			n++
		}
		if n != want {
			t.Errorf("%d passed at once, want %d", n, want)
		}
	}
	at(50)
	c.Advance(time.Second)
	at(10)
	c.Advance(time.Hour)
	at(50)
	if d := b.Delay(); d != 100*time.Millisecond {
		t.Errorf("an empty bucket of 10 a second asks for %v", d)
	}
	b.Take(1000)
	if d := b.Delay(); d != 100*time.Second+100*time.Millisecond {
		t.Errorf("with 1000 owed it asks for %v", d)
	}
}

// TestSet changes a limit under a worker that waits for what seems for ever.
func TestSet(t *testing.T) {
	c := clock.NewFake(epoch)
	b := NewBucket(c, Rate{PerSecond: 1})
	w := newWorker(c, &Gate{Bytes: []*Bucket{b}}, fixed(1<<30))
	w.run()
	c.Advance(time.Hour)
	if w.jobs != 1 {
		t.Fatalf("%d jobs, want 1", w.jobs)
	}
	b.Set(Rate{PerSecond: 1 << 30, Burst: 1})
	c.Advance(maxWait + 10*time.Second)
	if w.jobs < 10 || w.jobs > 12 {
		t.Errorf("%d jobs after the limit was raised, want 11", w.jobs)
	}
	jobs := 0
	w.size = func() int64 {
		if jobs++; jobs == 1000 {
			b.Set(Rate{PerSecond: 1, Burst: 1})
		}
		return 1 << 30
	}
	b.Set(Rate{})
	c.Advance(2 * time.Second)
	if jobs < 1000 {
		t.Errorf("%d jobs without a limit", jobs)
	}
	if b.Rate() != (Rate{PerSecond: 1, Burst: 1}) {
		t.Errorf("the limit is %v", b.Rate())
	}
}

func TestStop(t *testing.T) {
	c := clock.NewFake(epoch)
	w := newWorker(c, &Gate{Bytes: []*Bucket{NewBucket(c, Rate{PerSecond: 1})}}, fixed(1))
	w.run()
	w.waiter.Stop()
	c.Advance(time.Minute)
	if w.jobs != 1 || c.Running() != 0 {
		t.Errorf("%d jobs, %d timers after Stop", w.jobs, c.Running())
	}
}

// TestNoLimit passes everything, and takes no lock and no memory for it.
func TestNoLimit(t *testing.T) {
	g := &Gate{Operations: []*Bucket{NewBucket(clock.Host, Rate{})}, Bytes: []*Bucket{NewBucket(clock.Host, Rate{})}}
	w := NewWaiter(nil, func() { t.Error("woken") })
	for _, g := range []*Gate{g, nil, {}} {
		if n := testing.AllocsPerRun(100, func() {
			if !w.Pass(g) {
				t.Fatal("held up without a limit")
			}
			g.Pay(1, 1<<40)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// TestConcurrent is for the race detector.
func TestConcurrent(t *testing.T) {
	b := NewBucket(clock.Host, Rate{PerSecond: 1 << 40})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 1000 {
				g := Gate{Bytes: []*Bucket{b}}
				g.Pay(1, int64(i))
				g.Delay()
				if i%100 == 0 {
					b.Set(Rate{PerSecond: int64(i)})
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkPass(b *testing.B) {
	for name, r := range map[string]Rate{"unlimited": {}, "limited": {PerSecond: 1 << 50}} {
		b.Run(name, func(b *testing.B) {
			g := &Gate{Operations: []*Bucket{NewBucket(clock.Host, r)}, Bytes: []*Bucket{NewBucket(clock.Host, r)}}
			w := NewWaiter(nil, func() {})
			b.ReportAllocs()
			for b.Loop() {
				if w.Pass(g) {
					g.Pay(1, 4096)
				}
			}
		})
	}
}
