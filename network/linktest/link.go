// Package linktest is a network.Link for the tests of network cards: its far end is the test's, and it counts, waits, fails and panics as it is told.
package linktest

import (
	"net"
	"os"
	"sync"
	"time"

	"github.com/sharevm/vmm/network"
)

// Link is a network.Link whose far end is the test's.
type Link struct {
	offers  network.Offloads
	discard bool

	mu       sync.Mutex // guards what follows
	changed  sync.Cond
	incoming [][]byte // for the guest
	outgoing [][]byte // from the guest
	guest    network.Offloads
	late     bool // the read deadline lies in the past
	closed   bool
	panics   bool
	readErr  error
	writeErr error
	blocked  bool // WriteFrame waits
	writing  int
	taken    int
}

// New returns a link that copes with the given offloads.
func New(o network.Offloads) *Link {
	l := &Link{offers: o}
	l.changed.L = &l.mu
	return l
}

// Deliver queues an Ethernet frame for the guest, with the header h in front.
func (l *Link) Deliver(h network.Header, frame []byte) {
	b := make([]byte, network.HeaderLen, network.HeaderLen+len(frame))
	h.Encode(b)
	l.DeliverWhole(append(b, frame...))
}

// DeliverWhole queues a frame for the guest that carries its header.
func (l *Link) DeliverWhole(frame []byte) {
	l.update(func() { l.incoming = append(l.incoming, frame) })
}

// Withdraw takes back the frames that the card has not taken.
func (l *Link) Withdraw() { l.update(func() { l.incoming = nil }) }

// Waiting returns the number of frames that the card has not taken.
func (l *Link) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.incoming)
}

// Copes returns what the guest was last said to cope with.
func (l *Link) Copes() network.Offloads {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.guest
}

// Sent waits until the guest has sent n frames and returns them, headers in front.
func (l *Link) Sent(n int) [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.outgoing) < n {
		l.changed.Wait()
	}
	return l.outgoing[:len(l.outgoing):len(l.outgoing)]
}

// Forget drops what the guest has sent.
func (l *Link) Forget() { l.update(func() { l.outgoing = nil }) }

// Discard says that frames from the guest are not to be kept.
func (l *Link) Discard() { l.update(func() { l.discard = true }) }

// Panic makes WriteFrame panic until it is called again with false.
func (l *Link) Panic(on bool) { l.update(func() { l.panics = on }) }

// Fail makes ReadFrame and WriteFrame return these errors, where they are not nil.
func (l *Link) Fail(read, write error) { l.update(func() { l.readErr, l.writeErr = read, write }) }

// Block makes WriteFrame wait until it is called again with false.
func (l *Link) Block(on bool) { l.update(func() { l.blocked = on }) }

// AwaitWriter waits until the card is in WriteFrame.
func (l *Link) AwaitWriter() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.writing == 0 {
		l.changed.Wait()
	}
}

// AwaitTaken waits until the card has taken n frames in all.
func (l *Link) AwaitTaken(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.taken < n {
		l.changed.Wait()
	}
}

func (l *Link) update(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.changed.Broadcast()
}

// WriteFrame implements network.Link.
func (l *Link) WriteFrame(bufs [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.panics {
		panic("linktest: told to")
	}
	if l.writeErr != nil {
		return l.writeErr
	}
	l.writing++
	defer func() { l.writing-- }()
	for l.blocked {
		l.changed.Broadcast()
		l.changed.Wait()
	}
	if l.discard || l.closed {
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

// ReadFrame implements network.Link.
func (l *Link) ReadFrame(bufs [][]byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.late:
			return 0, os.ErrDeadlineExceeded
		case l.closed:
			return 0, net.ErrClosed
		case l.readErr != nil:
			return 0, l.readErr
		case len(l.incoming) > 0:
			frame := l.incoming[0]
			l.incoming = l.incoming[1:]
			l.taken++
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

// SetReadDeadline implements network.Link.
func (l *Link) SetReadDeadline(t time.Time) error {
	l.update(func() { l.late = !t.IsZero() && !t.After(time.Now()) })
	return nil
}

// Offloads implements network.Link.
func (l *Link) Offloads() network.Offloads { return l.offers }

// SetGuestOffloads implements network.Link.
func (l *Link) SetGuestOffloads(o network.Offloads) error {
	l.update(func() { l.guest = o })
	return nil
}

// Close implements network.Link.
func (l *Link) Close() error {
	l.update(func() { l.closed = true })
	return nil
}
