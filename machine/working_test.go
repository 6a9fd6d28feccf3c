package machine

import (
	"slices"
	"testing"
	"time"
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
