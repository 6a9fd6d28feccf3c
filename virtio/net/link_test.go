package net_test

import (
	stdnet "net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sharevm/vmm/network"
)

// fakeLink is a link whose two ends are a test's. Frames carry their header.
type fakeLink struct {
	offloads network.Offloads

	mu       sync.Mutex // guards what follows
	changed  sync.Cond
	incoming [][]byte // for the guest
	outgoing [][]byte // from the guest
	guest    network.Offloads
	late     bool // the read deadline lies in the past
	closed   bool
	readErr  error
	writeErr error
	panicky  bool

	readers atomic.Int32 // in ReadFrame
	discard bool         // do not keep outgoing frames
}

func newLink(o network.Offloads) *fakeLink {
	l := &fakeLink{offloads: o}
	l.changed.L = &l.mu
	return l
}

// deliver queues a frame for the guest.
func (l *fakeLink) deliver(frame []byte) {
	l.update(func() { l.incoming = append(l.incoming, frame) })
}

func (l *fakeLink) update(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.changed.Broadcast()
}

// sent waits until the guest has sent n frames and returns them.
func (l *fakeLink) sent(n int) [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.outgoing) < n {
		l.changed.Wait()
	}
	return l.outgoing[:n:n]
}

// copes returns what the guest was last said to cope with.
func (l *fakeLink) copes() network.Offloads {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.guest
}

// waiting returns the number of frames that the guest has not taken.
func (l *fakeLink) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.incoming)
}

func (l *fakeLink) WriteFrame(bufs [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.panicky {
		panic("fakeLink: told to")
	}
	if l.writeErr != nil {
		return l.writeErr
	}
	if l.discard {
		return nil
	}
	var frame []byte
	for _, b := range bufs {
		frame = append(frame, b...)
	}
	l.outgoing = append(l.outgoing, frame)
	l.changed.Broadcast()
	return nil
}

func (l *fakeLink) ReadFrame(bufs [][]byte) (int, error) {
	l.readers.Add(1)
	defer l.readers.Add(-1)
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.late:
			return 0, os.ErrDeadlineExceeded
		case l.closed:
			return 0, stdnet.ErrClosed
		case l.readErr != nil:
			return 0, l.readErr
		case len(l.incoming) > 0:
			frame := l.incoming[0]
			l.incoming = l.incoming[1:]
			l.changed.Broadcast()
			if network.Len(bufs) < len(frame) {
				continue
			}
			to := network.ScatterTo(bufs)
			return to.Write(frame), nil
		}
		l.changed.Wait()
	}
}

func (l *fakeLink) SetReadDeadline(t time.Time) error {
	l.update(func() { l.late = !t.IsZero() && !t.After(time.Now()) })
	return nil
}

func (l *fakeLink) Offloads() network.Offloads { return l.offloads }

func (l *fakeLink) SetGuestOffloads(o network.Offloads) error {
	l.update(func() { l.guest = o })
	return nil
}

func (l *fakeLink) Close() error {
	l.update(func() { l.closed = true })
	return nil
}
