package input

import (
	"context"
	"errors"
	"time"
)

// ErrNotTaken is why typing ends early: no device of the guest takes keys.
var ErrNotTaken = errors.New("the guest does not take what is typed")

const (
	keyTime      = 5 * time.Millisecond // between two changes of the keyboard
	maxBacklog   = 8                    // events that may wait for the guest while more are typed
	takePatience = 2 * time.Second      // for a guest that has such a backlog
)

// Press presses the keys of a chord one after the other, and lets them go in reverse order, at a speed that the guest keeps up with.
func (s *Source) Press(ctx context.Context, chord []Code) error {
	defer s.Release()
	for _, c := range chord {
		if err := s.step(ctx, c, true); err != nil {
			return err
		}
	}
	for i := range chord {
		if err := s.step(ctx, chord[len(chord)-1-i], false); err != nil {
			return err
		}
	}
	return nil
}

// Type presses keys one after the other, at a speed that the guest keeps up with.
func (s *Source) Type(ctx context.Context, presses []Press) error {
	for _, p := range presses {
		chord := []Code{KeyLeftShift, p.Code}
		if !p.Shift {
			chord = chord[1:]
		}
		if err := s.Press(ctx, chord); err != nil {
			return err
		}
	}
	return nil
}

// step changes a key and gives the guest time to see it.
func (s *Source) step(ctx context.Context, c Code, down bool) error {
	if !s.hub.Ready(Keyboard) {
		return ErrNotTaken
	}
	s.Key(c, down)
	tick := time.NewTicker(keyTime)
	defer tick.Stop()
	for limit := time.Now().Add(takePatience); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if s.hub.Backlog() <= maxBacklog {
			return nil
		}
		if time.Now().After(limit) {
			return ErrNotTaken
		}
	}
}
