package vmx

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Report is what Lint found out about a file, ready for encoding/json.
type Report struct {
	File     string    `json:"file"`
	Name     string    `json:"name"`
	Encoding string    `json:"encoding"`
	Findings []Finding `json:"findings"` // one at least for every key, in order of lines
}

// Lint says for every key of the .vmx file at path what becomes of it. The error is for files that cannot be read,
// are not .vmx files, or are encrypted; whatever else is wrong with a machine is a finding.
func Lint(path string, opt Options) (*Report, error) {
	l, err := examine(path, opt)
	if err != nil {
		return nil, err
	}
	return &Report{File: path, Name: l.m.Name, Encoding: l.f.Encoding(), Findings: l.report()}, nil
}

// Count is how many findings have a class.
func (r *Report) Count(c Class) int { return len(only(r.Findings, c)) }

// Worst is the gravest class in the report: Refused means that the machine cannot be run.
func (r *Report) Worst() Class {
	worst := Honoured
	for _, f := range r.Findings {
		worst = max(worst, f.Class)
	}
	return worst
}

// WriteText writes the report for people: the findings that ask for attention, or all of them, and a summary line.
func (r *Report) WriteText(w io.Writer, all bool) error {
	for _, f := range r.Findings {
		if f.Class < Warned && !all {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s: %s\n", f.Class.Severity(), f.describe(r.File)); err != nil {
			return err
		}
	}
	verdict := "can be run"
	if r.Worst() == Refused {
		verdict = "cannot be run"
	}
	_, err := fmt.Fprintf(w, "%s: %s: %d keys honoured, %d harmless, %d warned, %d refused\n", r.File, verdict,
		r.Count(Honoured), r.Count(Harmless), r.Count(Warned), r.Count(Refused))
	return err
}

// report is the findings of the translation and, for every key that it had nothing to say about, the classification; in
// order of lines.
func (l *loader) report() []Finding {
	findings := slices.Clone(l.findings)
	for _, key := range l.f.Keys() {
		if l.judged[fold(key)] {
			continue
		}
		r := classify(key)
		f := Finding{Class: r.class, Key: key, Line: l.f.Line(key), Reason: r.reason, Advice: r.advice}
		if device := l.disabledBy(key); device != "" {
			f.Class, f.Reason, f.Advice = Harmless, device+" is switched off", ""
		} else if v, _ := l.f.Get(key); r.class == Warned && isOff(v) {
			f.Class, f.Reason, f.Advice = Harmless, "switched off, as it is here", ""
		}
		findings = append(findings, f)
	}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(b.Class, a.Class), cmp.Compare(a.Key, b.Key))
	})
	return findings
}

// disabledBy is the device whose present = FALSE makes key meaningless, "" if none.
func (l *loader) disabledBy(key string) string {
	name := strings.TrimPrefix(fold(key), vmmPrefix)
	if strings.HasSuffix(name, ".present") {
		name = strings.TrimSuffix(name, ".present")
		name = name[:max(strings.LastIndexAny(name, ".:"), 0)]
	}
	for i := len(name); i > 0; i = strings.LastIndexAny(name[:i], ".:") {
		present := name[:i] + ".present"
		if isDevice(present) && l.f.Line(vmmPrefix+present) != 0 {
			present = vmmPrefix + present
		}
		if on, err := l.f.Bool(present, true); err == nil && !on {
			return name[:i]
		}
	}
	return ""
}

// isOff reports whether a value leaves a feature as it is without the key.
func isOff(v string) bool {
	return slices.Contains([]string{"", "false", "no", "off", "0"}, strings.ToLower(strings.TrimSpace(v)))
}
