package queue

import "github.com/sharevm/vmm/vmm/state"

// Save appends the queue's position. No chain may be popped and not pushed, nor pushed and not published.
func (q *Queue) Save(w *state.Writer) {
	w.U16(q.nextAvail)
	w.U16(q.published)
}

// Restore takes the position of a queue with the same rings. The first Publish after it interrupts in any case, since an
// interrupt may have been lost on the way.
func (q *Queue) Restore(r *state.Reader) error {
	q.nextAvail = r.U16()
	q.published = r.U16()
	q.seenAvail, q.nextUsed, q.anySignalled = q.nextAvail, q.published, false
	return r.Err()
}
