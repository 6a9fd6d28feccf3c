package mapped

import (
	"slices"
	"sync"
)

// busy keeps two copies into the same blocks apart. The zero value is ready.
type busy struct {
	mu    sync.Mutex
	cond  *sync.Cond
	spans []span
}

// span is a range of the disk in bytes.
type span struct{ start, end int64 }

// lock waits until nobody holds a range that overlaps s, and takes it.
func (b *busy) lock(s span) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cond == nil {
		b.cond = sync.NewCond(&b.mu)
	}
	for slices.ContainsFunc(b.spans, func(o span) bool { return o.start < s.end && s.start < o.end }) {
		b.cond.Wait()
	}
	b.spans = append(b.spans, s)
}

// unlock gives s back.
func (b *busy) unlock(s span) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.spans, s)
	b.spans = slices.Delete(b.spans, i, i+1)
	b.cond.Broadcast()
}
