package parallel_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sharevm/vmm/disk/internal/parallel"
)

// TestDo runs each number once.
func TestDo(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 100} {
		ran := make([]atomic.Int32, n)
		if err := parallel.Do(n, func(k int) error { ran[k].Add(1); return nil }); err != nil {
			t.Fatal(err)
		}
		for k := range ran {
			if got := ran[k].Load(); got != 1 {
				t.Errorf("%d of %d ran %d times", k, n, got)
			}
		}
	}
}

// TestError returns an error and stops.
func TestError(t *testing.T) {
	want := errors.New("no")
	var mu sync.Mutex
	ran := 0
	err := parallel.Do(1<<30, func(k int) error {
		mu.Lock()
		defer mu.Unlock()
		if ran++; k == 5 {
			return want
		}
		return nil
	})
	if err != want {
		t.Errorf("%v, want %v", err, want)
	}
	if ran == 1<<30 {
		t.Error("all ran in spite of the error")
	}
}
