// Package memorytest plays a guest's other processor, which changes memory and registers while a device reads them.
package memorytest

import (
	"sync"
	"testing"
)

// Beside has step run over and over beside the test, with the number of its turn, from 0. It ends when the test calls stop, which waits for it, or at the test's end.
func Beside(t testing.TB, step func(i int)) (stop func()) {
	t.Helper()
	ended := make(chan struct{})
	var other sync.WaitGroup
	other.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-ended:
				return
			default:
			}
			step(i)
		}
	})
	stop = sync.OnceFunc(func() {
		close(ended)
		other.Wait()
	})
	t.Cleanup(stop)
	return stop
}
