package throttle

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sharevm/vmm/internal/clock"
)

// Rate is a limit in units per second, bytes or operations.
type Rate struct {
	PerSecond int64 // 0 is no limit
	Burst     int64 // what may go at once after a rest, in units; 0 is as much as a quarter of a second brings
}

// burst is the bucket's capacity in tokens, at least one.
func (r Rate) burst() float64 {
	if r.Burst > 0 {
		return float64(r.Burst)
	}
	return math.Max(1, float64(r.PerSecond)/4)
}

// Bucket holds what passes to a rate. It may be used by any number of goroutines.
type Bucket struct {
	clock   clock.Clock
	limited atomic.Bool // whether rate says anything: the answer without a lock where there is no limit

	mu     sync.Mutex
	rate   Rate
	tokens float64 // left at the time of at; below zero is a debt
	at     time.Time
}

// NewBucket returns a full bucket.
func NewBucket(c clock.Clock, r Rate) *Bucket {
	b := &Bucket{clock: c}
	b.Set(r)
	return b
}

// Set changes the rate. The bucket is full afterwards, and debts made under the old rate are forgotten.
func (b *Bucket) Set(r Rate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate, b.tokens, b.at = r, r.burst(), b.clock.Now()
	b.limited.Store(r.PerSecond > 0)
}

// Rate is the limit in force.
func (b *Bucket) Rate() Rate {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rate
}

// Delay is how long work has to wait before it may begin; 0 lets it begin now.
func (b *Bucket) Delay() time.Duration {
	if !b.limited.Load() {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	if b.rate.PerSecond <= 0 || b.tokens > 0 {
		return 0
	}
	seconds := (1 - b.tokens) / float64(b.rate.PerSecond) // until there is a whole token
	return max(1, time.Duration(math.Min(seconds*float64(time.Second), float64(math.MaxInt64/2))))
}

// Take pays n tokens, into debt if there are fewer.
func (b *Bucket) Take(n int64) {
	if !b.limited.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	b.tokens -= float64(n)
}

// fill adds what has come in since the last look. b.mu is held.
func (b *Bucket) fill() {
	now := b.clock.Now()
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens = math.Min(b.tokens+passed.Seconds()*float64(b.rate.PerSecond), b.rate.burst())
		b.at = now
	}
}
