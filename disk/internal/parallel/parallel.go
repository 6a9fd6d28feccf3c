// Package parallel spreads work that keeps a processor busy, such as compression, over all of them.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Do runs fn for 0 to n-1, as many at a time as there are processors, and returns the first error, after which no more are started.
func Do(n int, fn func(int) error) error {
	var (
		next   atomic.Int64
		failed atomic.Bool
		wg     sync.WaitGroup
		once   sync.Once
		first  error
	)
	work := func() {
		for k := next.Add(1) - 1; k < int64(n) && !failed.Load(); k = next.Add(1) - 1 {
			if err := fn(int(k)); err != nil {
				once.Do(func() { first = err })
				failed.Store(true)
			}
		}
	}
	for range min(n, runtime.GOMAXPROCS(0)) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return first
}
