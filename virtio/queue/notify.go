package queue

import "github.com/sharevm/vmm/vmm/memory/shared"

// EnableNotifications asks the driver to signal Kick for the next chain, and says whether one is there already, in which case
// the caller goes on popping instead of waiting. It reports true for a broken queue, so that the next Pop tells.
func (q *Queue) EnableNotifications() (more bool) {
	if q.eventIdx {
		shared.Store16(q.used, ringElem+usedSize*int(q.size), q.nextAvail)
	} else {
		shared.Store16(q.used, 0, 0)
	}
	if q.nextAvail != q.seenAvail {
		return true
	}
	more, err := q.look()
	return more || err != nil
}

// DisableNotifications tells the driver that it need not kick while the device is popping anyway. It is a hint.
func (q *Queue) DisableNotifications() {
	// With EVENT_IDX the event lies in the past as soon as chains are popped, so there is nothing to do.
	if !q.eventIdx {
		shared.Store16(q.used, 0, usedNoNotify)
	}
}
