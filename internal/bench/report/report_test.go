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
