// Package flush turns many callers' flushes of a file into as few syncs as their promises allow.
package flush

import (
	"sync"
	"sync/atomic"
)

// Flusher runs flushes one at a time. Callers that arrive during one share the next one; a flush with nothing written since the last costs nothing.
//
// A failed sync is final: the kernel may have dropped the dirty pages and report success next time, so that every later flush
// returns the first error.
type Flusher struct {
	written atomic.Bool

	mu       sync.Mutex
	cond     *sync.Cond
	running  bool
	started  uint64 // rounds
	finished uint64
	err      error // of the last round
	broken   error // of a sync
}

// New returns a Flusher.
func New() *Flusher {
	f := &Flusher{}
	f.cond = sync.NewCond(&f.mu)
	return f
}

// Wrote notes that a write has completed.
func (f *Flusher) Wrote() {
	if !f.written.Load() { // a plain load keeps the line shared between writers
		f.written.Store(true)
	}
}

// Do makes sure that round has run once, begun after Do was called, unless nothing was written. Round syncs through
// [Flusher.Sync].
func (f *Flusher) Do(round func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for want := f.started + 1; f.finished < want; {
		if f.running {
			f.cond.Wait()
			continue
		}
		f.running = true
		f.started++
		f.mu.Unlock()
		err := f.round(round)
		f.mu.Lock()
		f.running, f.finished, f.err = false, f.started, err
		f.cond.Broadcast()
	}
	return f.err
}

// round is called by one goroutine at a time.
func (f *Flusher) round(round func() error) error {
	if f.broken != nil {
		return f.broken
	}
	if !f.written.Swap(false) {
		return nil
	}
	err := round()
	if err != nil {
		f.written.Store(true) // what was not made durable is tried again
	}
	return err
}

// Sync calls sync, only from within a round, and remembers its failure for good.
func (f *Flusher) Sync(sync func() error) error {
	if err := sync(); err != nil {
		f.broken = err
		return err
	}
	return nil
}
