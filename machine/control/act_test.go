package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/display/input"
)

func (m *fakeMachine) note(format string, args ...any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.did = append(m.did, fmt.Sprintf(format, args...))
	return nil
}

func (m *fakeMachine) Press(_ context.Context, chord []input.Code) error {
	return m.note("press %v", chord)
}

func (m *fakeMachine) Type(_ context.Context, presses []input.Press) error {
	return m.note("type %d", len(presses))
}

func (m *fakeMachine) Point(_ context.Context, p Pointer) error { return m.note("point %+v", p) }
func (m *fakeMachine) SetPaused(paused bool)                    { _ = m.note("paused %v", paused) }
func (m *fakeMachine) Restart() error                           { return errors.New("powered off") }
func (m *fakeMachine) SetLink(n int, up bool) error             { return m.note("link %d %v", n, up) }

func (m *fakeMachine) Stop(hard bool) error {
	if !hard {
		return errors.New("it does not listen")
	}
	return m.note("off")
}

// TestActs has a client do things to the machine.
func TestActs(t *testing.T) {
	root := t.TempDir()
	s, err := Open(root, "vm")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := &fakeMachine{}
	s.Serve(m, nil)
	c := Client{s.ID(), s.Folder(), patience}
	ctx := t.Context()
	for _, act := range []func() error{
		func() error { return c.Press(ctx, "ctrl-alt-delete") },
		func() error { return c.Type(ctx, strings.Repeat("x", maxTyped)) },
		func() error { return c.Point(ctx, Pointer{X: 3, Y: 4, Width: 800, Height: 600, Click: "right"}) },
		func() error { _, err := c.SetPaused(ctx, true); return err },
		func() error { _, err := c.SetPaused(ctx, false); return err },
		func() error { _, err := c.SetLink(ctx, "ethernet3", false); return err },
		func() error { _, err := c.Stop(ctx, true); return err },
	} {
		if err := act(); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		"press [leftctrl leftalt delete]", "type 200", "type 200", "point {X:3 Y:4 Width:800 Height:600 Click:right Wheel:0 WheelX:0}",
		"paused true", "paused false", "link 3 false", "off",
	}
	if !slices.Equal(m.did, want) {
		t.Errorf("%q", m.did)
	}
	for want, act := range map[string]func() error{
		"not the name of a key": func() error { return c.Press(ctx, "ctrl-alt-nothing") },
		"cannot be typed":       func() error { return c.Type(ctx, "ä") },
		"either a chord":        func() error { return c.Press(ctx, "") },
		"is not a button":       func() error { return c.Point(ctx, Pointer{Click: "none"}) },
		"nic and up are needed": func() error {
			return c.call(ctx, "POST", "/v1/link", map[string]string{"nic": "ethernet0"}, &nothing{})
		},
		"which network card": func() error { _, err := c.SetLink(ctx, "ethernet", true); return err },
		"it does not listen": func() error { _, err := c.Stop(ctx, false); return err },
		"powered off":        func() error { _, err := c.Reset(ctx); return err },
		"unknown field":      func() error { return c.call(ctx, "POST", "/v1/stop", map[string]int{"now": 1}, &nothing{}) },
		"at most 400 characters": func() error {
			return c.call(ctx, "POST", "/v1/keys", Keys{Text: strings.Repeat("x", maxTyped+1)}, &nothing{})
		},
	} {
		if err := act(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
