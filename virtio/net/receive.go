package net

import (
	"errors"
	"fmt"
	stdnet "net"
	"os"
	"time"

	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/queue"
)

const (
	// maxHeld is how many mergeable buffers a receiver holds at most: what a 64 KiB frame takes in buffers of 256 bytes.
	maxHeld = 256
	// numBuffers is the offset of the field of that name in the header of a frame.
	numBuffers = 10
)

// receiver moves frames from a link into the guest's buffers.
type receiver struct {
	dev  *Device
	link network.Link
	q    *queue.Queue
	gate *throttle.Gate

	mergeable bool
	held      []*queue.Chain // popped and empty, in the driver's order
	spare     []*queue.Chain
	bufs      [][]byte // what held holds, for the link
	room      int      // bytes in bufs
}

// prepare readies the receiver for run.
func (r *receiver) prepare(a *virtio.Activation) {
	r.mergeable = a.Has(featureMergeable)
	r.held, r.bufs, r.room = r.held[:0], r.bufs[:0], 0
	_ = r.link.SetReadDeadline(time.Time{}) // lifts what stop has set; a closed link says so when it is read
}

// run receives until the workers stop or the link fails.
func (r *receiver) run(w *virtio.Workers) error {
	defer r.release()
	waiter := throttle.NewWaiter(nil, r.q.Kick.Signal)
	defer waiter.Stop()
	for !w.Stopping() {
		r.q.DisableNotifications()
		enough, err := r.collect()
		if err != nil {
			return err
		}
		if !enough {
			if !r.q.EnableNotifications() {
				if err := r.q.Kick.Wait(); err != nil {
					return err
				}
			}
			continue
		}
		if !waiter.Pass(r.gate) {
			if err := r.q.Kick.Wait(); err != nil {
				return err
			}
			continue
		}
		n, err := r.link.ReadFrame(r.bufs)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case errors.Is(err, stdnet.ErrClosed):
			r.dev.linkFailed(err)
			return nil
		case err != nil:
			r.dev.linkFailed(fmt.Errorf("receive: %w", err))
			return nil
		case n > r.room:
			r.dev.linkFailed(fmt.Errorf("receive: link delivered %d bytes into %d", n, r.room))
			return nil
		case n < network.HeaderLen+network.EthernetHeaderLen || !r.dev.carrier.Load():
			r.dev.stats.rxDropped.Add(1)
			continue
		}
		r.gate.Pay(1, int64(n-network.HeaderLen))
		r.deliver(n)
	}
	return nil
}

// collect pops buffers until the largest frame that may come fits, and says whether it does.
func (r *receiver) collect() (enough bool, err error) {
	want := int(r.dev.largest.Load())
	limit := 1
	if r.mergeable {
		limit = min(maxHeld, int(r.q.Size()))
	}
	for len(r.held) < limit && r.room < want && len(r.bufs) < queue.MaxSegments {
		c := r.chain()
		ok, err := r.q.Pop(c)
		if err == nil && ok && c.WriteLen < network.HeaderLen {
			err = fmt.Errorf("receive buffer of %d bytes does not hold a header", c.WriteLen)
		}
		if err != nil || !ok {
			r.spare = append(r.spare, c)
			return false, err
		}
		r.held = append(r.held, c)
		r.bufs = append(r.bufs, c.Writable...)
		r.room += int(c.WriteLen)
	}
	return true, nil
}

// chain returns a chain to pop into.
func (r *receiver) chain() *queue.Chain {
	last := len(r.spare) - 1
	if last < 0 {
		return new(queue.Chain)
	}
	c := r.spare[last]
	r.spare = r.spare[:last]
	return c
}

// deliver gives the driver the frame of n bytes that fills the first buffers held.
func (r *receiver) deliver(n int) {
	used, segments := 0, 0
	for left := n; left > 0; used++ {
		c := r.held[used]
		left -= int(c.WriteLen)
		segments += len(c.Writable)
	}
	storeByte(r.bufs, numBuffers, byte(used))
	storeByte(r.bufs, numBuffers+1, byte(used>>8))
	left := n
	for _, c := range r.held[:used] {
		written := min(left, int(c.WriteLen))
		r.q.Push(c.Head, uint32(written))
		left -= written
		r.room -= int(c.WriteLen)
	}
	r.dev.stats.rxFrames.Add(1)
	r.dev.stats.rxBytes.Add(uint64(n - network.HeaderLen))
	r.q.Publish() // what the driver sees has been counted
	r.spare = append(r.spare, r.held[:used]...)
	r.held = r.held[:copy(r.held, r.held[used:])]
	r.bufs = r.bufs[:copy(r.bufs, r.bufs[segments:])]
}

// release gives back to the queue what is held.
func (r *receiver) release() {
	r.q.Unpop(len(r.held))
	r.spare = append(r.spare, r.held...)
	r.held, r.bufs, r.room = r.held[:0], r.bufs[:0], 0
}

// storeByte stores v at byte off of bufs, which reach that far.
func storeByte(bufs [][]byte, off int, v byte) {
	for _, b := range bufs {
		if off < len(b) {
			b[off] = v
			return
		}
		off -= len(b)
	}
}
