package transport

import (
	"sync/atomic"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/queue"
	"github.com/sharevm/vmm/vmm/event"
)

// queueState holds the registers of one queue. Transport.mu guards all but the atomics.
type queueState struct {
	max  uint16
	kick *event.Event

	size                 uint16
	enabled              bool
	stopped              bool // by queue_reset: may be set up again though the driver is running
	desc, driver, device uint64
	vector               atomic.Uint32 // MSI-X vector or noVector
	live                 *queue.Queue  // while the device has it
}

func (q *queueState) reset() {
	q.size = q.max
	q.enabled, q.stopped = false, false
	q.desc, q.driver, q.device = 0, 0, 0
	q.vector.Store(noVector)
	q.live = nil
	q.kick.Clear()
}

// selected returns the queue that the driver looks at, or nil.
func (t *Transport) selected() *queueState {
	if int(t.queueSelect) < len(t.queues) {
		return &t.queues[t.queueSelect]
	}
	return nil
}

// setQueue stores a register of q. Rings change only while the queue is disabled and the driver is not running yet.
func (t *Transport) setQueue(q *queueState, r register, v uint64) {
	switch r {
	case queueVector:
		q.vector.Store(t.vector(v))
		return
	case queueReset:
		if v == 1 {
			t.resetQueue(q)
		}
		return
	}
	if q.enabled || (t.status&virtio.StatusDriverOK != 0 && !q.stopped) {
		return
	}
	switch r {
	case queueSize:
		if n := uint16(v); n != 0 && n&(n-1) == 0 && n <= q.max {
			q.size = n
		}
	case queueDesc:
		q.desc = v
	case queueDriver:
		q.driver = v
	case queueDevice:
		q.device = v
	case queueEnable:
		if v == 1 {
			q.enabled = true
			t.restartQueue(q)
		}
	}
}

// buildQueues makes a queue over the rings of each that the driver has enabled.
func (t *Transport) buildQueues() error {
	for i := range t.queues {
		if !t.queues[i].enabled {
			continue
		}
		if err := t.buildQueue(i); err != nil {
			return err
		}
	}
	return nil
}

func (t *Transport) buildQueue(i int) (err error) {
	s := &t.queues[i]
	s.live, err = queue.New(queue.Config{
		Index: i, Memory: t.mem,
		Size: s.size, Desc: s.desc, Avail: s.driver, Used: s.device,
		EventIdx:  t.driverFeatures&virtio.FeatureEventIdx != 0,
		Indirect:  t.driverFeatures&virtio.FeatureIndirectDesc != 0,
		Kick:      s.kick,
		Interrupt: func() { t.interrupt(s.vector.Load(), isrQueue) },
	})
	return err
}

// resetQueue stops one queue of a running device (virtio 1.2, section 2.6.1). It is done when the register write is.
func (t *Transport) resetQueue(q *queueState) {
	device, ok := t.dev.(virtio.RingResetter)
	if !ok || !t.active || !q.enabled || t.driverFeatures&virtio.FeatureRingReset == 0 {
		return
	}
	device.StopQueue(int(t.queueSelect))
	q.reset()
	q.stopped = true
}

// restartQueue hands a queue that was reset alone back to the running device.
func (t *Transport) restartQueue(q *queueState) {
	if !q.stopped {
		return
	}
	q.stopped = false
	if err := t.buildQueue(int(t.queueSelect)); err != nil {
		q.reset()
		q.stopped = true
		t.fail(err)
		return
	}
	t.dev.(virtio.RingResetter).StartQueue(int(t.queueSelect), q.live)
}
