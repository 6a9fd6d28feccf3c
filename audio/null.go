package audio

import (
	"time"

	"github.com/sharevm/vmm/internal/clock"
)

// Null is a backend that nobody hears, and that takes as long as one that is heard.
type Null struct {
	// Clock is what the samples pass by; nil is the host's.
	Clock clock.Clock
}

// Open implements Backend.
func (n Null) Open(f Format) (Stream, error) {
	c := n.Clock
	if c == nil {
		c = clock.Host
	}
	return &null{format: f, clock: c}, f.Check()
}

// Close implements Backend.
func (Null) Close() error { return nil }

type null struct {
	format Format
	clock  clock.Clock
	end    time.Time // when the last sample has passed
}

// Write implements Stream.
func (s *null) Write(p []byte) {
	now := s.clock.Now()
	if s.end.Before(now) {
		s.end = now
	}
	s.end = s.end.Add(s.format.Duration(len(p)))
}

// Latency implements Stream.
func (s *null) Latency() time.Duration { return max(s.end.Sub(s.clock.Now()), 0) }

// Close implements Stream.
func (s *null) Close() {}
