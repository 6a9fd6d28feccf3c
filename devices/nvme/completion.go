package nvme

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/vmm/memory/shared"
)

// completion is a completion queue.
type completion struct {
	dev    *Controller
	id     uint16
	vector uint16
	inform bool // interrupts are enabled
	base   uint64
	size   uint32 // entries
	ring   []byte

	waiting atomic.Bool // the driver has not taken all entries, as far as we know

	mu       sync.Mutex // guards the following
	buffers  doorbellBuffer
	head     uint32
	tail     uint32
	phase    bool   // of the next entry
	reserved uint32 // entries that commands in flight will need
	starved  bool   // a lane waits for room
	posted   bool   // since the last interrupt
}

var errQueueSize = errors.New("a queue has 2 entries at least")

// newCompletion returns an empty queue over guest memory.
func (d *Controller) newCompletion(id uint16, base uint64, size uint32, vector uint16, inform bool) (*completion, error) {
	if size < 2 {
		return nil, errQueueSize
	}
	ring, err := d.mem.Slice(base, uint64(size)*entrySize)
	if err != nil {
		return nil, err
	}
	return &completion{dev: d, id: id, vector: vector, inform: inform, base: base, size: size, ring: ring, phase: true, buffers: d.shadow.of(2*id + 1)}, nil
}

// setHead takes over where the driver has come to, if that is possible: it can have taken what was posted and no more. q.mu is held.
func (q *completion) setHead(v uint32) bool {
	if v >= q.size || (v+q.size-q.head)%q.size > (q.tail+q.size-q.head)%q.size {
		return false
	}
	q.head = v
	q.waiting.Store(q.head != q.tail)
	return true
}

// ringBell is a write to the queue's doorbell. It returns false where the value cannot be.
func (q *completion) ringBell(v uint32) bool {
	ok, wake := q.advance(v)
	if wake {
		q.dev.wakeUsers(q)
	}
	if !q.waiting.Load() {
		q.dev.driveINTx()
	}
	return ok
}

func (q *completion) advance(v uint32) (ok, wake bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.buffers.used() {
		v = q.buffers.value()
	}
	ok = q.setHead(v)
	q.watchHead()
	wake, q.starved = q.starved, false
	return ok, wake
}

// watchHead asks for the doorbell when the driver takes entries, where that moves the interrupt pin. q.mu is held.
func (q *completion) watchHead() {
	if q.buffers.used() && !q.dev.usesMSIX() {
		q.buffers.watch(q.head)
	}
}

// room says whether an entry is left. q.mu is held.
func (q *completion) room() bool { return (q.tail+q.size-q.head)%q.size+q.reserved < q.size-1 }

// reserve keeps an entry for a command that is about to be taken. Where there is none the lane is woken when there may be.
func (q *completion) reserve() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.room() && q.buffers.used() {
		q.setHead(q.buffers.value())
		if !q.room() {
			q.buffers.watch(q.head) // the driver sees this before it moves on, or we see where it has moved to
			q.setHead(q.buffers.value())
		}
	}
	if !q.room() {
		q.starved = true
		return false
	}
	q.reserved++
	return true
}

// release gives back what reserve kept.
func (q *completion) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.reserved--
}

// post writes a command's completion (section 4.6) into the entry that was kept for it. The driver hears of it by publish.
func (q *completion) post(sq *submission, id uint16, s status, result uint32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.reserved--
	field := uint32(s) << 1
	if q.phase {
		field |= 1
	}
	entry := q.ring[q.tail*entrySize:][:entrySize]
	binary.LittleEndian.PutUint64(entry, uint64(result))
	// The phase tag makes the entry valid, so that it goes with the last store.
	shared.Store64(entry, 8, uint64(sq.head.Load())|uint64(sq.id)<<16|uint64(id)<<32|uint64(field)<<48)
	if q.tail++; q.tail == q.size {
		q.tail, q.phase = 0, !q.phase
	}
	q.waiting.Store(true)
	q.posted = true
	q.watchHead()
}

// publish interrupts the driver if something was posted since the last time.
func (q *completion) publish() {
	q.mu.Lock()
	posted := q.posted
	q.posted = false
	q.mu.Unlock()
	switch {
	case !posted || !q.inform:
	case q.dev.usesMSIX():
		q.dev.msix.Fire(int(q.vector))
	default:
		q.dev.driveINTx()
	}
}

func (d *Controller) usesMSIX() bool { return d.msix != nil && d.msix.Enabled() }

// driveINTx makes the pin follow the queues: it is high while one that interrupts has entries that the driver has not taken (section 7.5.1).
func (d *Controller) driveINTx() {
	d.intxMu.Lock()
	defer d.intxMu.Unlock()
	high := false
	if !d.usesMSIX() {
		masked := d.masked.Load()
		for i := range d.cqs {
			if q := d.cqs[i].Load(); q != nil && q.inform && q.waiting.Load() && masked>>(q.vector&31)&1 == 0 {
				high = true
			}
		}
	}
	d.fn.SetINTx(high)
}

// wakeUsers wakes the lanes that complete into q.
func (d *Controller) wakeUsers(q *completion) {
	for i := range d.sqs {
		if sq := d.sqs[i].Load(); sq != nil && sq.cq == q {
			sq.kick.Signal()
		}
	}
}
