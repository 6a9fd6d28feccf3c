package queue

import (
	"encoding/binary"

	"github.com/sharevm/vmm/vmm/memory/shared"
)

// Push gives a popped chain back to the driver, of whose writable buffers the device has written the first written bytes. The
// driver sees it after the next Publish, so that a batch costs one index update and one interrupt.
func (q *Queue) Push(head uint16, written uint32) {
	at := ringElem + usedSize*int(q.nextUsed&(q.size-1))
	binary.LittleEndian.PutUint64(q.used[at:], uint64(head)|uint64(written)<<32)
	q.nextUsed++
}

// Publish makes all pushed chains visible to the driver and interrupts it if it asked for that. Without new ones it does nothing.
func (q *Queue) Publish() {
	if q.published == q.nextUsed {
		return
	}
	q.published = q.nextUsed
	// The flags beside the index are also the device's own, and belong to the available side.
	shared.Store16(q.used, ringIdx, q.published)
	if q.wantsInterrupt() {
		q.interrupt()
	}
}

// wantsInterrupt is the decision of virtio 1.2, section 2.7.7.2. The used index is visible already.
func (q *Queue) wantsInterrupt() bool {
	if !q.eventIdx {
		return shared.Load16(q.avail, 0)&availNoInterrupt == 0
	}
	old, first := q.signalled, !q.anySignalled
	q.signalled, q.anySignalled = q.published, true
	event := shared.Load16(q.avail, ringElem+2*int(q.size))
	return first || q.published-event-1 < q.published-old
}
