package report

import (
	"bytes"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	var r Report
	for of, values := range map[string][]float64{Ours: {3, 1, 2}, "the peer": {9, 5}} {
		for _, v := range values {
			r.Of("boot", "ms", of).Add(v)
		}
	}
	r.Of("allocations", "1", Ours).Add(0)
	r.Of("boot", "ms", "broken")
	other := r.Of("boot", "ms", "of another kind")
	other.Aside = true
	other.Add(1)
	r.RateOf("speed", "1/s", Ours).Add(6)
	r.RateOf("speed", "1/s", "the peer").Add(4)
	var b bytes.Buffer
	r.Write(&b)
	for _, want := range []string{
		"RESULT boot ours=2 peer=7 peername=the-peer ratio=3.50 unit=ms\n",
		"RESULT allocations ours=0 peer=- peername=none ratio=- unit=1\n",
		"RESULT speed ours=6 peer=4 peername=the-peer ratio=1.50 unit=1/s\n",
		"of another kind",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if n := strings.Count(b.String(), "RESULT"); n != 3 {
		t.Errorf("%d results in\n%s", n, b.String())
	}
}

func TestQuantile(t *testing.T) {
	var s Series
	for v := 100; v > 0; v-- {
		s.Add(float64(v))
	}
	for share, want := range map[float64]float64{0: 1, 0.5: 50, 0.9: 90, 0.99: 99, 0.995: 100, 1: 100} {
		if got := s.Quantile(share); got != want {
			t.Errorf("%v: %v, want %v", share, got, want)
		}
	}
	if least, most := s.Range(); least != 1 || most != 100 {
		t.Error(least, most)
	}
}
