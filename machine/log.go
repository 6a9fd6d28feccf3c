package machine

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A guest can provoke log lines, at any rate: of each kind so many go through in an interval.
const (
	logBurst    = 32
	logInterval = time.Minute
	logKinds    = 256 // told apart; the messages are the program's own, so that this is out of reach
)

// limitedLog is a slog.Handler that bounds how often the same message passes. The first line that passes again says how many did not.
type limitedLog struct {
	slog.Handler
	seen *seenLog
}

// seenLog is what a limitedLog and the handlers derived from it have let through.
type seenLog struct {
	mu    sync.Mutex
	kinds map[string]*logWindow
}

type logWindow struct {
	since           time.Time
	passed, dropped int
}

// limited returns a logger that writes to the same place as log.
func limited(log *slog.Logger) *slog.Logger {
	return slog.New(limitedLog{log.Handler(), &seenLog{kinds: make(map[string]*logWindow)}})
}

// Handle implements slog.Handler.
func (l limitedLog) Handle(ctx context.Context, r slog.Record) error {
	pass, dropped := l.seen.admit(r.Message, r.Time)
	if !pass {
		return nil
	}
	if dropped > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("dropped", dropped))
	}
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l limitedLog) WithAttrs(a []slog.Attr) slog.Handler {
	return limitedLog{l.Handler.WithAttrs(a), l.seen}
}

// WithGroup implements slog.Handler.
func (l limitedLog) WithGroup(name string) slog.Handler {
	return limitedLog{l.Handler.WithGroup(name), l.seen}
}

// admit says whether a message passes at a moment, and how many of its kind have not since one last did.
func (s *seenLog) admit(message string, at time.Time) (pass bool, dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.kinds[message]
	if w == nil {
		if len(s.kinds) >= logKinds {
			return false, 0
		}
		w = &logWindow{since: at}
		s.kinds[message] = w
	}
	if at.Sub(w.since) >= logInterval {
		*w = logWindow{since: at, dropped: w.dropped}
	}
	if w.passed == logBurst {
		w.dropped++
		return false, 0
	}
	w.passed++
	dropped, w.dropped = w.dropped, 0
	return true, dropped
}
