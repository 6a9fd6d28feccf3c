package network

import (
	"net"
	"os"
	"sync"
	"time"
)

// Unplugged returns a link that carries nothing: the cable of a card that is wired to nowhere.
func Unplugged() Link { return &unplugged{wake: make(chan struct{})} }

type unplugged struct {
	mu       sync.Mutex
	wake     chan struct{} // closed and replaced whenever what ReadFrame waits for changes
	deadline time.Time
	closed   bool
}

func (u *unplugged) WriteFrame([][]byte) error { return nil }

func (u *unplugged) ReadFrame([][]byte) (int, error) {
	for {
		u.mu.Lock()
		wake, deadline, closed := u.wake, u.deadline, u.closed
		u.mu.Unlock()
		if closed {
			return 0, net.ErrClosed
		}
		if deadline.IsZero() {
			<-wake
			continue
		}
		timer := time.NewTimer(time.Until(deadline))
		select {
		case <-timer.C:
			return 0, os.ErrDeadlineExceeded
		case <-wake:
			timer.Stop()
		}
	}
}

func (u *unplugged) SetReadDeadline(t time.Time) error {
	u.change(func() { u.deadline = t })
	return nil
}

func (u *unplugged) Offloads() Offloads { return 0 }

func (u *unplugged) SetGuestOffloads(Offloads) error { return nil }

func (u *unplugged) Close() error {
	u.change(func() { u.closed = true })
	return nil
}

func (u *unplugged) change(f func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f()
	close(u.wake)
	u.wake = make(chan struct{})
}
