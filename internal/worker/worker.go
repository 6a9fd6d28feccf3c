// Package worker runs the goroutines of a device, and is the boundary at which their panics and errors end: either is told to the device,
// which breaks, and leaves the machine running.
package worker

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// PanicError is a panic of a worker.
type PanicError struct {
	Value any
	Stack []byte // as debug.Stack returned it
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Group is a set of workers that end together. Go and Stop calls must not overlap.
type Group struct {
	stopping atomic.Bool
	wakes    []func()
	running  sync.WaitGroup
}

// Go starts a worker that runs until Stopping reports true. wake makes it look: it is called once, by Stop. fail is told of its error, or of
// its panic as a PanicError, under name.
func (g *Group) Go(name string, wake func(), run func() error, fail func(error)) {
	g.wakes = append(g.wakes, wake)
	g.running.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				fail(fmt.Errorf("%s: %w", name, &PanicError{Value: p, Stack: debug.Stack()}))
			}
		}()
		if err := run(); err != nil {
			fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// Stopping says whether Stop has been called; long-running workers ask between requests.
func (g *Group) Stopping() bool { return g.stopping.Load() }

// Stop wakes all workers and returns when they have ended. It is idempotent; afterwards workers may be started again.
func (g *Group) Stop() {
	g.stopping.Store(true)
	for _, wake := range g.wakes {
		wake()
	}
	g.running.Wait()
	g.wakes = g.wakes[:0]
	g.stopping.Store(false)
}
