package main

import (
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/machine/instant"
	"github.com/sharevm/vmm/session"
)

// makers have the snapshots made for the instant starts of a session's machines.
type makers struct {
	out func(machine int) io.Writer
	log *slog.Logger

	mu      sync.Mutex
	waiting map[int][]string // options of vmm run and the .vmx file, by the numbers of machines whose time has not come
	begun   []*maker
	closed  bool
}

// plan plans a machine's further windows, and instant starts where it is to have them. Its arguments are "run", "--link", options, the file.
func (a *makers) plan(number int, m *config.Machine, s *session.Spec) {
	args := s.Args[2:]
	s.MoreArgs = append([]string{"run", "--link", "--beside"}, args...)
	if s.Repeatable = m.Forgets(); slices.Contains(args, "--keep") {
		s.Repeatable, s.Disposable = false, false
		return
	}
	if !m.Run.Instant && !slices.Contains(args, "--instant") {
		return
	}
	s.Repeatable, s.Disposable = true, true
	if store, err := instant.Open(); slices.Contains(args, "--cold") || err != nil || !store.Lasts() { // the machine's own process says what is wrong
		return
	}
	if a.waiting == nil {
		a.waiting = map[int][]string{}
	}
	a.waiting[number] = args
}

// begin has the snapshot of a machine made that has become ready, if there is none that fits.
func (a *makers) begin(machine int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	args, ok := a.waiting[machine]
	if !ok || a.closed {
		return
	}
	delete(a.waiting, machine)
	m, err := startMaker(args[len(args)-1], args[:len(args)-1], a.out(machine))
	if err != nil {
		a.log.Warn("no snapshot for instant starts is made", "error", err)
		return
	}
	m.begin()
	a.begun = append(a.begun, m)
}

// close ends what is not done.
func (a *makers) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, m := range a.begun {
		m.close()
	}
	for _, m := range a.begun {
		m.wait()
	}
}
