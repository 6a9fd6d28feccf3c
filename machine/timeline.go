package machine

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Timeline records when the steps of a machine's start were reached. The zero value records nothing and a nil one is allowed.
type Timeline struct {
	start time.Time

	mu    sync.Mutex
	marks []Mark
}

// Mark is one step.
type Mark struct {
	Name  string        `json:"name"`
	After time.Duration `json:"ns"` // since the start of the process
}

// maxMarks bounds what a guest that marks in a loop can make the host remember.
const maxMarks = 256

// NewTimeline starts a record at the time when the process started.
func NewTimeline(start time.Time) *Timeline { return &Timeline{start: start} }

// Add records that a step has been reached now.
func (t *Timeline) Add(name string) { t.AddAt(name, time.Now()) }

// AddAt records when a step was reached. Steps are added in the order of time.
func (t *Timeline) AddAt(name string, when time.Time) {
	if t == nil || t.start.IsZero() {
		return
	}
	at := when.Sub(t.start)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.marks) < maxMarks {
		t.marks = append(t.marks, Mark{name, at})
	}
}

// Marks returns the record so far, in the order of time.
func (t *Timeline) Marks() []Mark {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Mark(nil), t.marks...)
}

// WriteText prints the record as a table: when each step was reached, and how long after the one before.
func (t *Timeline) WriteText(w io.Writer) {
	var before time.Duration
	for _, m := range t.Marks() {
		_, _ = fmt.Fprintf(w, "%10.2f ms  %+10.2f  %s\n", ms(m.After), ms(m.After-before), m.Name)
		before = m.After
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
