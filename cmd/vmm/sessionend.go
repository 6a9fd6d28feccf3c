package main

import (
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/machine"
	"github.com/sharevm/vmm/session"
	"github.com/sharevm/vmm/session/link"
)

// sessionEnd is a machine's end of its link to a session.
type sessionEnd struct {
	ready chan struct{} // gets a value when the guest says that it is ready
	cold  atomic.Bool   // the machine could not go on from a snapshot
	calm  time.Duration // how long a picture stays as it is that has settled
}

// newSessionEnd makes the end of a machine that is to be shown.
func newSessionEnd(m *config.Machine) *sessionEnd {
	e := &sessionEnd{ready: make(chan struct{}, 1), calm: settledFor}
	if m.Run.Agent {
		e.calm = agentSettledFor
	}
	return e
}

// fallBack says that the machine begins anew in place of going on from a snapshot.
func (e *sessionEnd) fallBack() { e.cold.Store(true) }

// isReady is for machine.Options.OnReady.
func (e *sessionEnd) isReady() {
	select {
	case e.ready <- struct{}{}:
	default:
	}
}

const (
	// settledFor is how long a picture has to stay as it is for the machine to count as ready, where its guest does not say so.
	settledFor = 5 * time.Second
	// agentSettledFor is the same where the guest has an agent, which does say so, as long as nothing goes wrong: a slow host's pictures rest in between.
	agentSettledFor = time.Minute
	// orphaned is how long a guest has to power off whose session is gone.
	orphaned = time.Minute
)

// show shows the machine to the session until the returned function is called. It has to be called before the sandbox is entered. Without a session the machine is powered off:
// nobody would see it any more.
func (e *sessionEnd) show(m *machine.Machine, cfg *config.Machine, restored bool) (hide func(), err error) {
	unix.CloseOnExec(session.LinkFD)
	f := os.NewFile(session.LinkFD, "link")
	conn, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("the link to the session: %w", err)
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("the link to the session is a %T", conn)
	}
	shown := link.Machine{Input: m.Input(), Clipboard: m.Clipboard(), Focus: func(on bool) { m.Mute(!on) }, Power: func(p link.Power) { go powerOf(m, p) }}
	m.Mute(true) // until it comes to the front
	if screens := m.Screens(); len(screens) > 0 {
		shown.Surface = screens[0]
	}
	s := link.Serve(u, shown)
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-m.Underway():
		case <-end:
			return
		}
		if restored && !e.cold.Load() || e.waitReady(shown.Surface, end) {
			s.SetState(link.Ready, "")
		}
	})
	wg.Go(func() {
		select {
		case <-end:
			return
		case <-s.Done():
		}
		if cfg.Run.Overlay != config.OverlayDisposable && !cfg.Run.Instant && m.PowerButton() {
			select {
			case <-end:
			case <-time.After(orphaned):
			}
		}
		m.PowerOff()
	})
	return func() {
		close(end)
		s.Close()
		wg.Wait()
	}, nil
}

// powerOf does to a machine's power what the session wants.
func powerOf(m *machine.Machine, p link.Power) {
	switch p {
	case link.PressButton:
		if !m.PowerButton() {
			m.PowerOff()
		}
	case link.TakeAway:
		m.Rehearsed()
		m.PowerOff()
	case link.Reset:
		m.Reset()
	}
}

// waitReady waits until the guest has said that it is ready, or its picture has settled. It returns false when end is closed before.
func (e *sessionEnd) waitReady(s *display.Surface, end <-chan struct{}) bool {
	var tick <-chan time.Time
	var v *display.Viewer
	if s != nil {
		v = s.NewViewer()
		defer v.Close()
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		tick = ticker.C
	}
	var since time.Time // the picture has been as it is
	for {
		select {
		case <-e.ready:
			return true
		case <-end:
			return false
		case now := <-tick:
			switch u := v.Update(); {
			case u.Frame.Off():
				since = time.Time{}
			case len(u.Damage) > 0 || since.IsZero():
				since = now
			case now.Sub(since) >= e.calm:
				return true
			}
		}
	}
}
