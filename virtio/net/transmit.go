package net

import (
	"fmt"

	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/queue"
)

// transmitBatch is how many frames are sent before the driver gets their buffers back.
const transmitBatch = 32

// transmitter moves frames from the guest to a link.
type transmitter struct {
	dev     *Device
	link    network.Link
	q       *queue.Queue
	chain   queue.Chain
	gate    *throttle.Gate
	waiter  *throttle.Waiter
	workers *virtio.Workers // whose Stop ends the waiting at the gate
}

// handle sends what the queue holds, a batch at a time, and returns in between so that a stop need not wait longer.
func (t *transmitter) handle(q *queue.Queue) error {
	defer q.Publish()
	for range transmitBatch {
		if !t.waiter.Pass(t.gate) {
			return t.wait(q)
		}
		ok, err := q.Pop(&t.chain)
		if err != nil || !ok {
			return err
		}
		t.gate.Pay(1, max(0, int64(min(t.chain.ReadLen, network.MaxFrame))-network.HeaderLen))
		t.send(&t.chain)
		q.Push(t.chain.Head, 0)
	}
	return nil
}

// wait returns when it is worth asking the gate again, or the workers stop. What has been sent goes back to the driver before.
func (t *transmitter) wait(q *queue.Queue) error {
	defer t.waiter.Stop()
	q.Publish()
	if t.workers.Stopping() {
		return nil
	}
	return q.Kick.Wait()
}

// send puts one frame on the link, or drops it when it cannot be one.
func (t *transmitter) send(c *queue.Chain) {
	stats := &t.dev.stats
	if c.ReadLen < network.HeaderLen+network.EthernetHeaderLen || c.ReadLen > network.MaxFrame || !t.dev.carrier.Load() {
		stats.txDropped.Add(1)
		return
	}
	if err := t.link.WriteFrame(c.Readable); err != nil {
		t.dev.linkFailed(fmt.Errorf("transmit: %w", err))
		stats.txDropped.Add(1)
		return
	}
	stats.txFrames.Add(1)
	stats.txBytes.Add(c.ReadLen - network.HeaderLen)
}
