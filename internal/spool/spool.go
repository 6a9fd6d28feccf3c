// Package spool writes to what may block, such as a terminal that the user holds with Ctrl-S or a pipe that nobody reads, without making
// anybody wait: a guest's vCPU that causes a line in the log must not stop for it.
package spool

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// capacity bounds the bytes that wait to be written.
	capacity = 64 << 10
	// patience is how long Close waits for the last of them.
	patience = time.Second
)

// Writer is an io.Writer whose Write never waits. What does not fit is dropped, a whole Write at a time, and counted: the next text that does
// fit is preceded by a line that says so.
type Writer struct {
	w     io.Writer
	wake  chan struct{}
	ended chan struct{}

	mu      sync.Mutex
	waiting []byte
	dropped int // Writes since the last that fitted
	closed  bool
}

// New returns a Writer to w. Its goroutine ends with Close.
func New(w io.Writer) *Writer {
	s := &Writer{w: w, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go s.run()
	return s
}

// Write implements io.Writer. It always succeeds.
func (s *Writer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var note []byte
	if s.dropped > 0 {
		note = fmt.Appendf(nil, "(%d messages were dropped here, as nobody took them)\n", s.dropped)
	}
	if s.closed || len(s.waiting)+len(note)+len(p) > capacity {
		s.dropped++
		return len(p), nil
	}
	s.dropped = 0
	s.waiting = append(append(s.waiting, note...), p...)
	s.signal()
	return len(p), nil
}

func (s *Writer) run() {
	defer close(s.ended)
	var busy []byte
	for {
		s.mu.Lock()
		busy, s.waiting = s.waiting, busy[:0]
		end := s.closed
		s.mu.Unlock()
		switch {
		case len(busy) > 0:
			_, _ = s.w.Write(busy) // there is nowhere to complain to
		case end:
			return
		default:
			<-s.wake
		}
	}
}

// Close writes what waits, for a second at most, and ends the goroutine; one that is stuck in a write ends when that does.
func (s *Writer) Close() error {
	s.mu.Lock()
	s.closed = true
	s.signal()
	s.mu.Unlock()
	select {
	case <-s.ended:
	case <-time.After(patience):
	}
	return nil
}

func (s *Writer) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
