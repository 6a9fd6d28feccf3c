package nic

import (
	"time"

	"github.com/sharevm/vmm/internal/clock"
)

// Moderator spaces interrupts out. Its owner's lock guards it.
type Moderator struct {
	clock    clock.Clock
	timer    clock.Timer
	interval time.Duration
	next     time.Time // no interrupt before
}

// NewModerator returns a moderator without an interval. wake is called on a goroutine of its own when an interrupt that was held up may go. A
// nil clock is the host's.
func NewModerator(c clock.Clock, wake func()) *Moderator {
	if c == nil {
		c = clock.Host
	}
	return &Moderator{clock: c, timer: c.NewTimer(wake)}
}

// SetInterval changes the least time between two interrupts, from the next one on.
func (m *Moderator) SetInterval(d time.Duration) {
	if m.interval = d; d == 0 {
		m.next = time.Time{}
	}
}

// Allow says whether an interrupt may go now, and then counts it as gone. If not, wake is called when it may.
func (m *Moderator) Allow() bool {
	if m.interval == 0 {
		return true
	}
	now := m.clock.Now()
	if wait := m.next.Sub(now); wait > 0 {
		m.timer.Reset(wait)
		return false
	}
	m.next = now.Add(m.interval)
	return true
}

// Stop forgets what is held up.
func (m *Moderator) Stop() { m.timer.Stop() }
