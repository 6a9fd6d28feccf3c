package machine

import (
	"context"
	"errors"

	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/machine/control"
)

var errOff = errors.New("the machine is powered off")

// remote is what other processes have asked of the machine.
type remote struct {
	turn   chan struct{} // holds a value while somebody types or points
	source *input.Source
	paused bool // guarded by Machine.pausing
}

// Press presses a chord of keys, as control.Machine says.
func (m *Machine) Press(ctx context.Context, chord []input.Code) error {
	return m.asUser(ctx, func(s *input.Source) error { return s.Press(ctx, chord) })
}

// Type types, as control.Machine says.
func (m *Machine) Type(ctx context.Context, presses []input.Press) error {
	return m.asUser(ctx, func(s *input.Source) error { return s.Type(ctx, presses) })
}

// Point moves the pointer, clicks and turns the wheel, as control.Machine says.
func (m *Machine) Point(ctx context.Context, p control.Pointer) error {
	return m.asUser(ctx, func(s *input.Source) error {
		if !m.input.Ready(input.Tablet) && !m.input.Ready(input.Mouse) {
			return errors.New("no mouse or tablet of the guest listens")
		}
		if p.Width > 0 && p.Height > 0 {
			s.Point(p.X, p.Y, p.Width, p.Height)
		} else if p.X != 0 || p.Y != 0 {
			s.Move(p.X, p.Y)
		}
		s.Wheel(p.WheelX, p.Wheel)
		if c, ok := control.Buttons[p.Click]; ok {
			return s.Press(ctx, []input.Code{c})
		}
		return nil
	})
}

// asUser waits for whoever is typing.
func (m *Machine) asUser(ctx context.Context, f func(*input.Source) error) error {
	select {
	case m.remote.turn <- struct{}{}:
	case <-ctx.Done():
		return errors.New("somebody else is typing")
	}
	defer func() { <-m.remote.turn }()
	return f(m.remote.source)
}

// Stop presses the power button, or with hard takes the power away.
func (m *Machine) Stop(hard bool) error {
	if hard {
		m.PowerOff()
		return nil
	}
	if !m.PowerButton() {
		return errors.New("the guest does not listen to its power button")
	}
	return nil
}

// Restart resets the machine.
func (m *Machine) Restart() error {
	if !m.Reset() {
		return errOff
	}
	return nil
}

// SetPaused pauses the machine or lets it go on, beside whoever else paused it.
func (m *Machine) SetPaused(paused bool) {
	m.pausing.Lock()
	defer m.pausing.Unlock()
	switch {
	case paused && !m.remote.paused:
		m.Pause()
	case !paused && m.remote.paused:
		m.Resume()
	}
	m.remote.paused = paused
}
