package virtiotest

import (
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/vmm/memory/shared"
)

// Bare drives a queue for benchmarks: it allocates nothing, and knows chains by their descriptors only (SetDescriptor, Offer). The
// queue's other ways of submitting and waiting must not be mixed with it.
type Bare struct {
	q        *Queue
	doorbell uint64
	value    [2]byte
	done     uint16
	messages <-chan struct{}
}

// Bare returns the queue's bare driver.
func (q *Queue) Bare() *Bare {
	q.d.SetCommon(0x16, 2, uint64(q.Index))
	return &Bare{
		q: q, doorbell: q.d.regions[Notify] + 4*q.d.Common(0x1e, 2), value: [2]byte{byte(q.Index), byte(q.Index >> 8)},
		messages: q.d.Interrupts.Channel(uint32(q.Index + 1)),
	}
}

// Kick notifies the device where it asked for it.
func (b *Bare) Kick() {
	q := b.q
	old := q.kicked
	q.kicked = q.availIdx
	if event := shared.Load16(q.used, 4+8*q.Size); q.d.Features&virtio.FeatureEventIdx != 0 && q.availIdx-event-1 >= q.availIdx-old {
		return
	}
	q.d.bells().Write(b.doorbell, b.value[:])
}

// Await sleeps until the device has used n more chains.
func (b *Bare) Await(n int) {
	b.done += uint16(n)
	for {
		if int16(shared.Load16(b.q.used, 2)-b.done) >= 0 {
			return
		}
		shared.Store16(b.q.avail, 4+2*b.q.Size, b.done-1) // interrupt for the last one; a full barrier
		if int16(shared.Load16(b.q.used, 2)-b.done) >= 0 {
			return
		}
		<-b.messages
	}
}
