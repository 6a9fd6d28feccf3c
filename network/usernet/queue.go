package usernet

import (
	"net"
	"os"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	queueLen   = 512     // packets; beyond it they are dropped
	waitLen    = 128     // packets from which on senders that can wait do
	waitMemory = 1 << 20 // bytes from which on senders that can wait do
)

// queue holds the packets that wait for the guest. What carries data waits when there are many, which is how a guest
// that does not read slows TCP down; answers that netstack gives in the card's own worker never wait, because that worker
// may be what the guest is waiting for.
type queue struct {
	notEmpty sync.Cond // on mu
	notFull  sync.Cond // on mu

	mu     sync.Mutex
	ring   [queueLen]*stack.PacketBuffer
	head   int
	len    int
	memory int
	closed bool

	expired  bool // the read deadline has passed
	deadline *time.Timer
	setting  uint64 // counts SetReadDeadline calls, so that a timer that fired late is known
}

func newQueue() *queue {
	q := &queue{}
	q.notEmpty.L, q.notFull.L = &q.mu, &q.mu
	return q
}

// push adds a reference to pkt to the queue. It returns false when the packet was dropped.
func (q *queue) push(pkt *stack.PacketBuffer, wait bool) bool {
	size := pkt.Size()
	q.mu.Lock()
	defer q.mu.Unlock()
	for wait && !q.closed && (q.len >= waitLen || q.memory >= waitMemory) {
		q.notFull.Wait()
	}
	if q.closed || q.len == queueLen {
		return false
	}
	q.ring[(q.head+q.len)%queueLen] = pkt.IncRef()
	q.len++
	q.memory += size
	q.notEmpty.Signal()
	return true
}

// pop waits for the next packet, whose reference it hands over.
func (q *queue) pop() (*stack.PacketBuffer, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.closed:
			return nil, net.ErrClosed
		case q.expired:
			return nil, os.ErrDeadlineExceeded
		case q.len > 0:
			pkt := q.ring[q.head]
			q.ring[q.head] = nil
			q.head = (q.head + 1) % queueLen
			q.len--
			q.memory -= pkt.Size()
			q.notFull.Signal()
			return pkt, nil
		}
		q.notEmpty.Wait()
	}
}

func (q *queue) setDeadline(t time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return net.ErrClosed
	}
	q.setting++
	if q.deadline != nil {
		q.deadline.Stop()
		q.deadline = nil
	}
	q.expired = false
	if t.IsZero() {
		return nil
	}
	wait := time.Until(t)
	if wait <= 0 {
		q.expired = true
		q.notEmpty.Broadcast()
		return nil
	}
	setting := q.setting
	q.deadline = time.AfterFunc(wait, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.setting == setting {
			q.expired = true
			q.notEmpty.Broadcast()
		}
	})
	return nil
}

// close drops what waits and wakes everybody.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.deadline != nil {
		q.deadline.Stop()
	}
	for ; q.len > 0; q.len-- {
		q.ring[q.head].DecRef()
		q.ring[q.head] = nil
		q.head = (q.head + 1) % queueLen
	}
	q.notEmpty.Broadcast()
	q.notFull.Broadcast()
}
