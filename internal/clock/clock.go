// Package clock is the time that devices run on: the host's, or in tests one that moves by hand.
package clock

import (
	"sync"
	"time"
)

// Clock tells the time and makes timers.
type Clock interface {
	Now() time.Time
	// NewTimer returns a timer that is not running and that calls fire, on a goroutine of its own, whenever it expires.
	NewTimer(fire func()) Timer
}

// Timer is a timer that expires once for each Reset. A *time.Timer is one.
type Timer interface {
	Reset(d time.Duration) bool
	Stop() bool
}

// Host is the clock of the host.
var Host Clock = host{}

type host struct{}

func (host) Now() time.Time { return time.Now() }

func (host) NewTimer(fire func()) Timer {
	t := time.AfterFunc(time.Hour, fire)
	t.Stop()
	return t
}

// Fake is a clock that stands still until Advance. The zero value starts at the zero time.
type Fake struct {
	mu     sync.Mutex
	now    time.Time
	timers []*fakeTimer
}

// NewFake returns a Fake that starts at now.
func NewFake(now time.Time) *Fake { return &Fake{now: now} }

type fakeTimer struct {
	clock   *Fake
	fire    func()
	running bool
	at      time.Time
}

// Now implements Clock.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// NewTimer implements Clock. The timer calls fire from within Advance.
func (f *Fake) NewTimer(fire func()) Timer {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &fakeTimer{clock: f, fire: fire}
	f.timers = append(f.timers, t)
	return t
}

// Advance moves the time on by d, firing on the way the timers that expire, each at its time.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	end := f.now.Add(d)
	for {
		var next *fakeTimer
		for _, t := range f.timers {
			if t.running && !t.at.After(end) && (next == nil || t.at.Before(next.at)) {
				next = t
			}
		}
		if next == nil {
			break
		}
		next.running = false
		if next.at.After(f.now) {
			f.now = next.at
		}
		f.mu.Unlock()
		next.fire()
		f.mu.Lock()
	}
	f.now = end
	f.mu.Unlock()
}

// Running is how many timers are running.
func (f *Fake) Running() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, t := range f.timers {
		if t.running {
			n++
		}
	}
	return n
}

func (t *fakeTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	was := t.running
	t.running, t.at = true, t.clock.now.Add(max(d, 0))
	return was
}

func (t *fakeTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	was := t.running
	t.running = false
	return was
}
