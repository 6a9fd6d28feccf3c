package session

import (
	"slices"
	"time"

	"github.com/sharevm/vmm/display/input"
)

// Keys are a set of what users may ask of a session by keys.
type Keys uint8

// What keys there are.
const (
	HotkeyKeys   Keys = 1 << iota // the hotkey
	TurnKeys                      // Ctrl-Alt-Left and Ctrl-Alt-Right
	OverviewKeys                  // Ctrl-Alt-Up
	WindowKeys                    // Ctrl-Alt-N
	AllKeys      = HotkeyKeys | TurnKeys | OverviewKeys | WindowKeys
)

// keys watches what is typed for what is meant for the session.
type keys struct {
	now  func() time.Time
	held []input.Code // modifiers that are down
	// eaten are keys whose release belongs to the session as their press did.
	eaten  []input.Code
	tapped time.Time // when the hotkey was tapped last
	from   int       // the machine that was in front then
}

var modifiers = []input.Code{
	input.KeyLeftCtrl, input.KeyRightCtrl, input.KeyLeftAlt, input.KeyRightAlt, input.KeyLeftShift, input.KeyRightShift, input.KeyLeftMeta, input.KeyRightMeta,
}

func (k *keys) holds(codes ...input.Code) bool {
	return slices.ContainsFunc(k.held, func(c input.Code) bool { return slices.Contains(codes, c) })
}

// note keeps track of modifiers.
func (k *keys) note(e input.Event) {
	if !slices.Contains(modifiers, e.Code) {
		return
	}
	k.held = slices.DeleteFunc(k.held, func(c input.Code) bool { return c == e.Code })
	if e.Value != 0 {
		k.held = append(k.held, e.Code)
	}
}

// sink is the session as a device for keys and pointer.
type sink struct{ s *Session }

func (k sink) Ready() bool  { return true }
func (k sink) Backlog() int { return 0 }

// Frame hands on what is the front machine's.
func (k sink) Frame(events []input.Event) {
	s := k.s
	began := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.machines) == 0 {
		return
	}
	from := 0
	for i, e := range events {
		if e.Type != input.TypeKey || !s.meant(e) {
			continue
		}
		// What came before belongs to the machine that was in front before.
		s.pass(events[from:i])
		from = i + 1
		before := s.front
		if s.act(e); s.front != before {
			s.cfg.Log.Debug("turned", "machine", s.machines[s.front].name, "took", time.Since(began))
		}
	}
	s.pass(events[from:])
}

// pass hands events to the front machine, or to the overview; s.mu is held.
func (s *Session) pass(events []input.Event) {
	if s.overview != nil {
		s.overviewMotion(events)
		return
	}
	m := s.machines[s.front]
	switch {
	case len(events) == 0:
	case m.remote != nil:
		m.remote.Events(events)
	case m.why == starting:
		m.early.add(events)
	}
}

// meant says whether a key is meant for the session; s.mu is held.
func (s *Session) meant(e input.Event) bool {
	k := &s.keys
	k.note(e)
	if s.overview != nil {
		return true
	}
	if e.Value == 0 {
		return slices.Contains(k.eaten, e.Code)
	}
	has := func(some Keys) bool { return s.cfg.Without&some == 0 }
	switch {
	case e.Code == s.cfg.Hotkey:
		return len(k.held) == 0 && has(HotkeyKeys)
	case e.Code == input.KeyLeft && has(TurnKeys), e.Code == input.KeyRight && has(TurnKeys), e.Code == input.KeyUp && has(OverviewKeys):
		return k.holds(input.KeyLeftCtrl, input.KeyRightCtrl) && k.holds(input.KeyLeftAlt, input.KeyRightAlt)
	case e.Code == input.KeyN && has(WindowKeys):
		return k.holds(input.KeyLeftCtrl, input.KeyRightCtrl) && k.holds(input.KeyLeftAlt, input.KeyRightAlt) && s.machines[s.front].again
	case e.Code == input.KeyEnter:
		m := s.machines[s.front]
		return m.remote == nil && m.why != starting
	}
	return false
}

// act does what a key means; s.mu is held.
func (s *Session) act(e input.Event) {
	k := &s.keys
	if e.Value == 0 {
		k.eaten = slices.DeleteFunc(k.eaten, func(c input.Code) bool { return c == e.Code })
		return
	}
	k.eaten = append(k.eaten, e.Code)
	if s.overview != nil {
		s.overviewKey(e.Code)
		return
	}
	switch e.Code {
	case input.KeyUp:
		s.openOverview()
	case input.KeyLeft:
		s.turn(s.beside(-1))
	case input.KeyRight:
		s.turn(s.beside(1))
	case input.KeyN:
		s.another(s.front)
	case input.KeyEnter:
		if s.cfg.Restart != nil {
			s.machines[s.front].why = starting
			s.cfg.Restart(s.front)
			s.turn(s.front)
		}
	case s.cfg.Hotkey:
		s.tap()
	}
}

// tap is a press of the hotkey: it turns to the next machine at once, and a second one soon after takes that back and is the first machine's own.
func (s *Session) tap() {
	k := &s.keys
	now := k.now()
	if k.tapped.IsZero() || now.Sub(k.tapped) > doubleTap {
		k.tapped, k.from = now, s.front
		s.turn(s.beside(1))
		return
	}
	k.tapped = time.Time{}
	if !s.machines[k.from].gone {
		s.turn(k.from)
	}
	s.pass([]input.Event{{Type: input.TypeKey, Code: s.cfg.Hotkey, Value: 1}})
	s.pass([]input.Event{{Type: input.TypeKey, Code: s.cfg.Hotkey, Value: 0}})
}
