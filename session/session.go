package session

import (
	"errors"
	"image"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/session/link"
)

// DefaultHotkey turns to the next machine.
const DefaultHotkey = input.KeyF4

const (
	// doubleTap is how soon a second tap of the hotkey has to follow for it to be the guest's.
	doubleTap = 300 * time.Millisecond
	// noticeTime is how long the line over the picture is shown.
	noticeTime = 1500 * time.Millisecond
)

// Config says what a session is like.
type Config struct {
	Hotkey input.Code // 0 is DefaultHotkey
	// Without are the session's keys that the user does not have: they are the guests' own.
	Without Keys
	// Restart is called when the user wants a machine to start again whose process has ended. It must not block.
	Restart func(machine int)
	// Another is called when the user wants another window of a machine that Repeatable was said of. It must not block.
	Another func(machine int)
	// Turned, if set, is told which machine is in front now. It must not block, nor call the session.
	Turned func(machine int)
	// Ready, if set, is told each time that a machine has become ready. It must not block, nor call the session.
	Ready func(machine int)
	Log   *slog.Logger // nil is silent
}

// Session is several machines on one screen. Its methods may be called from any goroutine.
type Session struct {
	cfg     Config
	hub     input.Hub
	surface *display.Surface
	shared  frontend.Clipboard
	clip    *frontend.Holder // of shared
	detach  []func()
	states  chan struct{} // a machine's state has changed
	done    chan struct{}
	wg      sync.WaitGroup

	mu       sync.Mutex // guards the following; held while surfaces are drawn on
	machines []*member
	front    int
	watched  bool
	size     image.Point // that viewers wish for
	looking  *look       // at the front machine, while the screen is watched
	overview *overview   // nil unless it is shown
	panel    panel
	keys     keys
	text     string // on the clipboard
	closed   bool
}

// member is a machine of the session.
type member struct {
	name    string
	remote  *link.Remote // nil while it has no process
	why     string       // there is none
	early   early        // for a machine that is starting
	started time.Time
	told    link.State // that the user has been told of
	clip    Clip
	text    string // that it has got, or has handed over, last
	again   bool   // there may be another window of it
	gone    bool   // until its place is taken by another
}

// starting is why a machine has no process that is about to have one.
const starting = "starting"

// New returns a session without machines.
func New(c Config) *Session {
	if c.Hotkey == 0 {
		c.Hotkey = DefaultHotkey
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Session{cfg: c, surface: display.NewSurface(), states: make(chan struct{}, 1), done: make(chan struct{})}
	s.keys.now = time.Now
	s.surface.Attach((*composite)(s))
	for _, class := range []input.Class{input.Keyboard, input.Mouse, input.Tablet} {
		s.detach = append(s.detach, s.hub.Attach(class, sink{s}))
	}
	s.clip = s.shared.Join(s.offered)
	s.wg.Go(s.attend)
	return s
}

// Frontend is the session's screen for a frontend.
func (s *Session) Frontend(name string) frontend.Machine {
	return frontend.Machine{Name: name, Surface: s.surface, Input: &s.hub, Clipboard: &s.shared}
}

// Add adds a machine, which has no process yet, and returns its number: that of one which was removed, or the next. The first is in front.
func (s *Session) Add(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &member{name: name, why: starting}
	if i := slices.IndexFunc(s.machines, func(m *member) bool { return m.gone }); i >= 0 {
		s.machines[i] = m
		return i
	}
	s.machines = append(s.machines, m)
	if len(s.machines) == 1 {
		s.turn(0)
	}
	return len(s.machines) - 1
}

// Repeatable says that the user may have another window of a machine (Config.Another).
func (s *Session) Repeatable(machine int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.machines[machine].again = true
}

// Remove removes a machine whose process has gone. Where it was in front, machine to is.
func (s *Session) Remove(machine, to int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.machines[machine]
	m.remote, m.gone = nil, true
	if machine == s.front {
		s.turn(to)
	}
	if s.overview != nil {
		s.overview.changed()
	}
}

// present are the numbers of the machines that were not removed; s.mu is held.
func (s *Session) present() (list []int) {
	for i, m := range s.machines {
		if !m.gone {
			list = append(list, i)
		}
	}
	return list
}

// beside is the machine that is by so many away from the one in front; s.mu is held.
func (s *Session) beside(by int) int {
	list := s.present()
	at := slices.Index(list, s.front)
	if at < 0 {
		return s.front
	}
	return list[(at+by+len(list))%len(list)]
}

// another asks for another window of a machine; s.mu is held.
func (s *Session) another(machine int) {
	if s.cfg.Another != nil && s.machines[machine].again {
		s.cfg.Another(machine)
	}
}

// Changed is for link.Connect.
func (s *Session) Changed() {
	select {
	case s.states <- struct{}{}:
	default:
	}
}

// Connected says that a machine has a process now.
func (s *Session) Connected(machine int, r *link.Remote) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.machines[machine]
	m.remote, m.why, m.started, m.told, m.text = r, "", time.Now(), link.Starting, ""
	r.OnCopied(func(text string) { s.copied(machine, r, text) })
	if s.size != (image.Point{}) {
		r.Surface.Wish(s.size)
	}
	for _, frame := range m.early.frames {
		r.Events(frame)
	}
	m.early = early{}
	if machine == s.front {
		s.turn(machine)
	} else {
		r.Release()
		r.Focus(false)
	}
}

// Ended says that a machine's process has gone, and why.
func (s *Session) Ended(machine int, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.machines[machine]
	m.remote, m.why, m.early = nil, why, early{}
	if machine == s.front {
		s.turn(machine)
	} else {
		s.notice(m.name + ": " + why)
	}
}

// Front is the machine in front.
func (s *Session) Front() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.front
}

// ErrNoMachine is returned where there is no machine of that number.
var ErrNoMachine = errors.New("the session has no such machine")

// Turn brings a machine to the front.
func (s *Session) Turn(machine int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if machine < 0 || machine >= len(s.machines) || s.machines[machine].gone {
		return ErrNoMachine
	}
	s.choose(machine)
	return nil
}

// Close ends the session. Its machines' processes are the caller's.
func (s *Session) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.closeOverview()
	s.stopLooking()
	s.mu.Unlock()
	close(s.done)
	s.clip.Leave()
	s.surface.Detach((*composite)(s))
	for _, f := range s.detach {
		f()
	}
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.panel.free()
}

// turn brings a machine to the front; s.mu is held. Its picture is on the screen when turn returns.
func (s *Session) turn(to int) {
	switch old := s.machines[s.front]; {
	case to == s.front:
	case old.remote == nil:
		old.early.letGo()
	default:
		old.remote.Release()
		old.remote.Focus(false)
	}
	s.front = to
	m := s.machines[to]
	s.stopLooking()
	if s.overview == nil {
		s.surface.SetCursor(display.CursorImage{})
	}
	if m.remote != nil {
		m.remote.Focus(true)
		s.paste()
	}
	s.panel.say(s.describe(m))
	s.startLooking()
	s.Changed() // for attend to look at the time
	if s.cfg.Turned != nil {
		s.cfg.Turned(to)
	}
}

// describe is what the line over the picture says of a machine.
func (s *Session) describe(m *member) string {
	if m.remote == nil {
		return m.name + ": " + m.why
	}
	state, text := m.remote.State()
	line := m.name + ": " + state.String()
	if state == link.Starting {
		line += ", " + time.Since(m.started).Round(time.Second).String()
	}
	if text != "" {
		line += " (" + text + ")"
	}
	return line
}

// attend tells the user when a machine in the background has become ready, and takes the line away when its time is over.
func (s *Session) attend() {
	for {
		s.mu.Lock()
		wait := s.panel.rest(time.Now())
		s.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-s.states:
			s.mu.Lock()
			s.announce()
			s.mu.Unlock()
		case <-timer.C:
			s.mu.Lock()
			if s.panel.rest(time.Now()) <= 0 {
				s.endNotice()
			}
			s.mu.Unlock()
		case <-s.done:
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// announce looks for machines that have become ready; s.mu is held.
func (s *Session) announce() {
	for i, m := range s.machines {
		if m.remote == nil {
			continue
		}
		state, _ := m.remote.State()
		if state == m.told {
			continue
		}
		m.told = state
		if state == link.Ready {
			if s.cfg.Ready != nil {
				s.cfg.Ready(i)
			}
			s.cfg.Log.Info("ready", "machine", m.name, "after", time.Since(m.started).Round(time.Millisecond))
			if i != s.front {
				s.notice(m.name + " is ready: " + strings.ToUpper(s.cfg.Hotkey.String()) + " turns to it")
			}
		}
	}
}
