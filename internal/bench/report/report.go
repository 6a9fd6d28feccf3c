// Package report collects what benchmarks measured, side by side with their peers, and prints it: a table for each quantity, and a line
// RESULT name ours=X peer=Y peername=P ratio=Z unit=U for programs, above 1 where we are ahead of the peer: peer/ours for a
// cost (time, memory), ours/peer for a rate.
package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// Ours is the name of the program under test in a series.
const Ours = "vmm"

// Report is all that was measured.
type Report struct {
	Series []*Series `json:"series"`
	Notes  []string  `json:"notes,omitempty"`
}

// Series is one quantity of one program, measured once a round.
type Series struct {
	Name   string    `json:"name"` // the quantity, e.g. boot-vmlinux
	Unit   string    `json:"unit"`
	Of     string    `json:"of"`              // the program
	Rate   bool      `json:"rate,omitempty"`  // more is better
	Aside  bool      `json:"aside,omitempty"` // shown in the table, but not a peer to be compared with
	Values []float64 `json:"values"`
}

// Add adds a round's value.
func (s *Series) Add(v float64) { s.Values = append(s.Values, v) }

// Median is the middle value, or the mean of the middle two. Without values it is 0.
func (s *Series) Median() float64 {
	v := slices.Sorted(slices.Values(s.Values))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Range is the least value and the most. There has to be one.
func (s *Series) Range() (least, most float64) { return slices.Min(s.Values), slices.Max(s.Values) }

// Quantile is the value that a share of the values, 0 to 1, does not exceed. There has to be one.
func (s *Series) Quantile(share float64) float64 {
	v := slices.Sorted(slices.Values(s.Values))
	return v[max(0, int(math.Ceil(share*float64(len(v))))-1)]
}

// Of returns the series of that name and program, new if need be.
func (r *Report) Of(name, unit, of string) *Series {
	for _, s := range r.Series {
		if s.Name == name && s.Of == of {
			return s
		}
	}
	s := &Series{Name: name, Unit: unit, Of: of}
	r.Series = append(r.Series, s)
	return s
}

// RateOf is Of for a quantity of which more is better.
func (r *Report) RateOf(name, unit, of string) *Series {
	s := r.Of(name, unit, of)
	s.Rate = true
	return s
}

// Note adds a remark.
func (r *Report) Note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Write prints the tables, the notes, and the RESULT lines.
func (r *Report) Write(w io.Writer) {
	var names []string
	for _, s := range r.Series {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	for _, name := range names {
		r.WriteTable(w, name)
	}
	for _, n := range r.Notes {
		_, _ = fmt.Fprintln(w, "note:", n)
	}
	for _, name := range names {
		r.writeResults(w, name)
	}
}

// WriteTable prints what was measured of one quantity.
func (r *Report) WriteTable(w io.Writer, name string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(t, "%s\tmedian\tleast\tmost\trounds\tvmm ahead\t\n", name)
	base := r.Of(name, "", Ours)
	for _, s := range r.Series {
		if s.Name != name {
			continue
		}
		if len(s.Values) == 0 {
			_, _ = fmt.Fprintf(t, "%s\t-\t-\t-\t0\t-\t\n", s.Of)
			continue
		}
		_, _ = fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t%d\t%s\t\n", s.Of, number(s.Median()), s.Unit, number(slices.Min(s.Values)), number(slices.Max(s.Values)), len(s.Values), ratio(s, base))
	}
	_ = t.Flush()
	_, _ = fmt.Fprintln(w)
}

func (r *Report) writeResults(w io.Writer, name string) {
	base := r.Of(name, "", Ours)
	if len(base.Values) == 0 {
		return
	}
	alone := true
	for _, s := range r.Series {
		if s.Name != name || s.Of == Ours || s.Aside || len(s.Values) == 0 {
			continue
		}
		alone = false
		_, _ = fmt.Fprintf(w, "RESULT %s ours=%s peer=%s peername=%s ratio=%s unit=%s\n", word(name), number(base.Median()), number(s.Median()), word(s.Of), ratio(s, base), base.Unit)
	}
	if alone {
		_, _ = fmt.Fprintf(w, "RESULT %s ours=%s peer=- peername=none ratio=- unit=%s\n", word(name), number(base.Median()), base.Unit)
	}
}

// ratio is how many times we are ahead of the peer.
func ratio(peer, base *Series) string {
	more, less := peer.Median(), base.Median()
	if base.Rate {
		more, less = less, more
	}
	if less == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", more/less)
}

// number prints four digits or so.
func number(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// word makes one word of a name.
func word(s string) string { return strings.ReplaceAll(s, " ", "-") }
