package throttle

import (
	"sync/atomic"
	"time"

	"github.com/sharevm/vmm/internal/clock"
)

// maxWait bounds how long a waiter sleeps before it looks again, so that a limit that was lifted meanwhile soon is.
const maxWait = 200 * time.Millisecond

// Gate is what the work of one kind has to pass: buckets of operations and of bytes, its own and such that it shares with other gates. It
// counts what has passed. A nil gate lets everything pass. Operations and Bytes must not change once the gate is in use.
type Gate struct {
	Operations []*Bucket
	Bytes      []*Bucket

	operations, bytes atomic.Int64 // that have passed
}

// Passed is how much has been paid for so far.
func (g *Gate) Passed() (operations, bytes int64) { return g.operations.Load(), g.bytes.Load() }

// Delay is how long work of the gate's kind has to wait before it may begin.
func (g *Gate) Delay() time.Duration {
	if g == nil {
		return 0
	}
	var longest time.Duration
	for _, b := range g.Operations {
		longest = max(longest, b.Delay())
	}
	for _, b := range g.Bytes {
		longest = max(longest, b.Delay())
	}
	return longest
}

// Pay takes from the buckets what work has cost: so many operations and bytes.
func (g *Gate) Pay(operations, bytes int64) {
	if g == nil {
		return
	}
	g.operations.Add(operations)
	g.bytes.Add(bytes)
	for _, b := range g.Operations {
		b.Take(operations)
	}
	for _, b := range g.Bytes {
		b.Take(bytes)
	}
}

// Waiter is a worker's place before gates. It belongs to that worker.
type Waiter struct {
	timer clock.Timer
}

// NewWaiter returns a waiter that calls wake, from any goroutine, when it is worth asking a gate again. A nil clock is the host's.
func NewWaiter(c clock.Clock, wake func()) *Waiter {
	if c == nil {
		c = clock.Host
	}
	return &Waiter{timer: c.NewTimer(wake)}
}

// Pass says whether work may begin at g now. If not, the worker is woken once it may; it may be woken earlier, and asks again.
func (w *Waiter) Pass(g *Gate) bool {
	d := g.Delay()
	if d == 0 {
		return true
	}
	w.timer.Reset(min(d, maxWait))
	return false
}

// Stop ends the waiting. A wake may still be under way.
func (w *Waiter) Stop() { w.timer.Stop() }
