package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// ours is the name of the monitor under test in a series.
const ours = "vmm"

// report is all that was measured.
type report struct {
	Series []*series `json:"series"`
	Notes  []string  `json:"notes,omitempty"`
}

// series is one quantity of one monitor, measured once a round.
type series struct {
	Name   string    `json:"name"` // the quantity, e.g. boot-vmlinux
	Unit   string    `json:"unit"`
	Of     string    `json:"of"` // the monitor
	Values []float64 `json:"values"`
}

func (s *series) add(v float64) { s.Values = append(s.Values, v) }

// median is the middle value, or the mean of the middle two. Without values it is 0.
func (s *series) median() float64 {
	v := slices.Sorted(slices.Values(s.Values))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// series returns the series of that name and monitor, new if need be.
func (r *report) series(name, unit, of string) *series {
	for _, s := range r.Series {
		if s.Name == name && s.Of == of {
			return s
		}
	}
	s := &series{Name: name, Unit: unit, Of: of}
	r.Series = append(r.Series, s)
	return s
}

func (r *report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// write prints a table for each quantity, the notes, and the RESULT lines.
func (r *report) write(w io.Writer) {
	var names []string
	for _, s := range r.Series {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	for _, name := range names {
		r.writeTable(w, name)
	}
	for _, n := range r.Notes {
		_, _ = fmt.Fprintln(w, "note:", n)
	}
	for _, name := range names {
		r.writeResults(w, name)
	}
}

func (r *report) writeTable(w io.Writer, name string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(t, "%s\tmedian\tleast\tmost\trounds\tpeer/vmm\t\n", name)
	base := r.series(name, "", ours)
	for _, s := range r.Series {
		if s.Name != name {
			continue
		}
		if len(s.Values) == 0 {
			_, _ = fmt.Fprintf(t, "%s\t-\t-\t-\t0\t-\t\n", s.Of)
			continue
		}
		_, _ = fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t%d\t%s\t\n", s.Of, number(s.median()), s.Unit, number(slices.Min(s.Values)), number(slices.Max(s.Values)), len(s.Values), ratio(s, base))
	}
	_ = t.Flush()
	_, _ = fmt.Fprintln(w)
}

func (r *report) writeResults(w io.Writer, name string) {
	base := r.series(name, "", ours)
	if len(base.Values) == 0 {
		return
	}
	alone := true
	for _, s := range r.Series {
		if s.Name != name || s.Of == ours || s.Of == noNIC || len(s.Values) == 0 {
			continue
		}
		alone = false
		_, _ = fmt.Fprintf(w, "RESULT %s ours=%s peer=%s peername=%s ratio=%s unit=%s\n", word(name), number(base.median()), number(s.median()), word(s.Of), ratio(s, base), base.Unit)
	}
	if alone {
		_, _ = fmt.Fprintf(w, "RESULT %s ours=%s peer=- peername=none ratio=- unit=%s\n", word(name), number(base.median()), base.Unit)
	}
}

// ratio is how many times more the peer needs than we do.
func ratio(peer, base *series) string {
	if base.median() == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", peer.median()/base.median())
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
