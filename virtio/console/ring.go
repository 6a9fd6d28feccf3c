package console

import "sync"

// ring is a bounded queue of bytes between a worker of the device, which must not block outside its queue's Kick, and a pump,
// which may. Being bounded, it is how a slow reader holds back a fast writer without memory growing.
type ring struct {
	size int

	mu     sync.Mutex // guards what follows
	moved  sync.Cond  // the pump waits for the worker to move bytes, or for the end
	wake   func()     // wakes the worker; nil while there is none
	hungry bool       // the worker could not move all it wanted
	closed bool
	buf    []byte // allocated when the first byte comes
	start  int    // position of the oldest byte
	used   int
	drops  int // how often its bytes were dropped
}

func newRing(size int) *ring {
	r := &ring{size: size}
	r.moved.L = &r.mu
	return r
}

// put stores what fits of p, for the worker, and returns how much that was. When it was not all, the worker is
// woken once there is room.
func (r *ring) put(p []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.store(p)
	if n < len(p) {
		r.hungry = true
	}
	r.moved.Signal()
	return n
}

// pending says, to the worker, whether there are bytes to get. If not, the worker is woken once there are.
func (r *ring) pending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used == 0 {
		r.hungry = true
	}
	return r.used > 0
}

// get takes up to len(p) bytes, for the worker, and returns how many.
func (r *ring) get(p []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.take(p)
	r.moved.Signal()
	return n
}

// write stores all of p, for the pump, waiting for room as needed. It returns false when the ring was closed.
func (r *ring) write(p []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for drops := r.drops; drops == r.drops; r.moved.Wait() {
		p = p[r.store(p):]
		r.feed()
		if len(p) == 0 || r.closed {
			break
		}
	}
	return !r.closed
}

// drop empties the ring, and has a pump that waits for room give up the rest of what it brings.
func (r *ring) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.start, r.used = 0, 0
	r.drops++
	r.moved.Signal()
}

// read takes up to len(p) bytes, for the pump, and waits for the first one. It returns 0 when the ring is closed and empty.
func (r *ring) read(p []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.used == 0 && !r.closed {
		r.moved.Wait()
	}
	n := r.take(p)
	r.feed()
	return n
}

// setWake says how the worker is woken; after setWake(nil) returned, it is not woken any more.
func (r *ring) setWake(wake func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wake, r.hungry = wake, false
}

// poke wakes the worker, for a reason outside the ring.
func (r *ring) poke() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wake != nil {
		r.wake()
	}
}

// close ends the ring: the pump no longer waits, what is stored later is dropped, and what is in it can still be taken.
func (r *ring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.moved.Signal()
	r.feed()
}

// feed wakes the worker if it waits. The caller holds r.mu.
func (r *ring) feed() {
	if r.hungry && r.wake != nil {
		r.hungry = false
		r.wake()
	}
}

// store copies what fits of p; all of it, to nowhere, once the ring is closed. The caller holds r.mu.
func (r *ring) store(p []byte) (n int) {
	if r.closed {
		return len(p)
	}
	if r.buf == nil {
		r.buf = make([]byte, r.size)
	}
	for n < len(p) && r.used < r.size {
		at := (r.start + r.used) % r.size
		k := copy(r.buf[at:at+min(r.size-at, r.size-r.used)], p[n:])
		r.used += k
		n += k
	}
	return n
}

// take moves bytes out. The caller holds r.mu.
func (r *ring) take(p []byte) (n int) {
	for n < len(p) && r.used > 0 {
		k := copy(p[n:], r.buf[r.start:r.start+min(r.used, r.size-r.start)])
		r.start = (r.start + k) % r.size
		r.used -= k
		n += k
	}
	return n
}
