package vmx

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Class says what becomes of a key.
type Class uint8

// The classes, from harmless to fatal.
const (
	Honoured Class = iota // has its meaning here
	Harmless              // has no meaning here, and leaving it out changes nothing that matters
	Warned                // has a meaning that is left out or changed: the guest may notice
	Refused               // the machine is not run
)

// String is the class in lower case.
func (c Class) String() string {
	return [...]string{"honoured", "harmless", "warned", "refused"}[c]
}

// Severity is the class in the words of compilers: error, warning or note.
func (c Class) Severity() string {
	switch c {
	case Refused:
		return "error"
	case Warned:
		return "warning"
	}
	return "note"
}

// Finding is what is to be said about one key, or about the file.
type Finding struct {
	Class  Class
	Key    string // as spelled; "" when it is about the line or the file
	Line   int    // from 1; 0 when it is about the file
	Reason string // one sentence without full stop
	Advice string // what to do, "" for nothing
}

// MarshalJSON writes the finding with its class and severity in words.
func (f Finding) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Severity string `json:"severity"`
		Class    string `json:"class"`
		Key      string `json:"key,omitempty"`
		Line     int    `json:"line,omitempty"`
		Reason   string `json:"reason"`
		Advice   string `json:"advice,omitempty"`
	}{f.Class.Severity(), f.Class.String(), f.Key, f.Line, f.Reason, f.Advice})
}

// describe is the finding in one line that begins with the file's name.
func (f Finding) describe(file string) string {
	var b strings.Builder
	b.WriteString(file)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	b.WriteString(": ")
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Reason)
	if f.Advice != "" {
		b.WriteString("; " + f.Advice)
	}
	return b.String()
}

// ErrRefused is wrapped by the error of Load when something in the file forbids running the machine.
var ErrRefused = errors.New("machine refused")

// RefusedError holds every reason why a machine is not run. It wraps [ErrRefused].
type RefusedError struct {
	File    string
	Reasons []Finding // at least one, all Refused
}

// Error is the first reason, with file and line, and how many more there are.
func (e *RefusedError) Error() string {
	s := e.Reasons[0].describe(e.File)
	if n := len(e.Reasons) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more: see vmm lint)", n)
	}
	return s
}

// Unwrap makes errors.Is(err, ErrRefused) true.
func (e *RefusedError) Unwrap() error { return ErrRefused }
