package pace

import (
	"testing"
	"time"
)

func TestTrust(t *testing.T) {
	repeat := func(n int, d time.Duration) (all []time.Duration) {
		for range n {
			all = append(all, d)
		}
		return all
	}
	quick, slow, stuck := 10*time.Microsecond, time.Millisecond, 10*time.Millisecond
	for _, test := range []struct {
		name string
		took []time.Duration
		want bool
	}{
		{"nothing is known", nil, false},
		{"too few", repeat(trusted-1, quick), false},
		{"enough", repeat(trusted, quick), true},
		{"two slow ones", append(repeat(1000, quick), slow, slow), true},
		{"three slow ones", append(repeat(1000, quick), slow, slow, slow), false},
		{"a very slow one", append(repeat(1000, quick), stuck), false},
		{"earned again", append(append(repeat(1000, quick), stuck), repeat(trusted, quick)...), true},
	} {
		var p Pace
		for _, d := range test.took {
			p.Observe(d)
		}
		if p.Quick() != test.want {
			t.Errorf("%s: quick is %v", test.name, !test.want)
		}
	}
}
