package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/machine/control"
)

func (s *standIn) note(format string, args ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.did = append(s.did, fmt.Sprintf(format, args...))
	return nil
}

func (s *standIn) Press(_ context.Context, chord []input.Code) error {
	return s.note("press %v", chord)
}
func (s *standIn) Type(_ context.Context, p []input.Press) error { return s.note("type %d", len(p)) }
func (s *standIn) SetPaused(paused bool)                         { _ = s.note("paused %v", paused) }
func (s *standIn) Restart() error                                { return s.note("reset") }

func (s *standIn) SetLink(n int, up bool) error {
	if n > 1 {
		return errors.New("no such card")
	}
	return s.note("ethernet%d %v", n, up)
}

func (s *standIn) Point(_ context.Context, p control.Pointer) error {
	return s.note("%d,%d %dx%d %s %d", p.X, p.Y, p.Width, p.Height, p.Click, p.Wheel)
}

func (s *standIn) Stop(hard bool) error {
	if !hard {
		return errors.New("deaf")
	}
	return s.note("off")
}

func TestActs(t *testing.T) {
	runtimeFolder(t)
	m := &standIn{}
	_, stop := serveControl("vm", m, logger(newRoot()))
	defer stop()
	for _, test := range []struct{ args, did, fails string }{
		{"key vm ctrl-alt-delete f4", "press [leftctrl leftalt delete]|press [f4]", ""},
		{"key vm a what", "", `"what" is not the name of a key`},
		{"key vm", "", "requires at least 2"},
		{"type vm a b", "type 3", ""},
		{"type --enter vm a", "type 2", ""},
		{"type vm ä", "", "US keyboard"},
		{"mouse vm 3,4 --size 800x600 --click left", "3,4 800x600 left 0", ""},
		{"mouse vm --wheel 1", "0,0 0x0  1", ""},
		{"mouse vm 3", "", "two numbers"},
		{"mouse vm 3,4 --size 800", "", "--size"},
		{"mouse vm 3,4 --click up", "", "not a button"},
		{"link vm ethernet0 down", "ethernet0 false", ""},
		{"link vm ethernet1 up", "ethernet1 true", ""},
		{"link vm ethernet2 up", "", "no such card"},
		{"link vm eth0 up", "", "which network card"},
		{"link vm ethernet0 in", "", "want up or down"},
		{"link vm ethernet0", "", "accepts 3 arg"},
		{"pause vm", "paused true", ""},
		{"resume vm", "paused false", ""},
		{"reset vm", "reset", ""},
		{"stop vm", "", "deaf; vmm stop --hard"},
		{"stop vm --hard --wait 0", "off", ""},
		{"stop vm --hard --wait 1ms", "off", "still runs"},
		{"stop other", "", "no such machine"},
	} {
		m.did = nil
		_, err := command(t, strings.Fields(test.args)...)
		if got := strings.Join(m.did, "|"); got != test.did || (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
			t.Errorf("vmm %s: %q, %v; want %q, %q", test.args, got, err, test.did, test.fails)
		}
	}
}
