package transport_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/queue"
	"github.com/sharevm/vmm/virtio/virtiotest"
	"github.com/sharevm/vmm/vmm/state"
)

const allFeatures = ^uint64(0)

// echoFeature is a bit of the echo device's own.
const echoFeature = 1 << 5

// echo is a device with two queues that copies what it reads, and 8 bytes of configuration that the driver may write. It can stop
// single queues.
type echo struct {
	workers    [2]virtio.Workers
	activation *virtio.Activation
	served     func() // called with each chain in hand, if set
	refuse     bool   // Activate fails
	crash      bool   // Activate panics, once

	mu     sync.Mutex
	config [8]byte
}

func (d *echo) Type() uint16         { return 0x3f }
func (d *echo) Features() uint64     { return echoFeature | 1<<36 } // the second is not its to offer
func (d *echo) QueueSizes() []uint16 { return []uint16{64, 8} }
func (d *echo) ConfigSize() uint32   { return uint32(len(d.config)) }

func (d *echo) ReadConfig(off uint32, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(p, d.config[off:off+uint32(len(p))])
}

func (d *echo) WriteConfig(off uint32, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(d.config[off:off+uint32(len(p))], p)
}

func (d *echo) Activate(a *virtio.Activation) error {
	if d.refuse {
		return errors.New("not today")
	}
	if d.crash {
		d.crash = false
		panic("not today either")
	}
	d.activation = a
	d.Resume()
	return nil
}

func (d *echo) Deactivate() {
	d.Pause()
	d.activation = nil
	d.config = [8]byte{}
}

func (d *echo) Pause() {
	for i := range d.workers {
		d.workers[i].Stop()
	}
}

func (d *echo) Resume() {
	for i, q := range d.activation.Queues {
		if q != nil {
			d.StartQueue(i, q)
		}
	}
}

func (d *echo) StopQueue(i int) {
	d.workers[i].Stop()
	d.activation.Queues[i] = nil
}

func (d *echo) StartQueue(i int, q *queue.Queue) {
	d.activation.Queues[i] = q
	c := new(queue.Chain)
	d.workers[i].Serve(d.activation, q, func(q *queue.Queue) error { return d.serve(i, q, c) })
}

func (d *echo) serve(i int, q *queue.Queue, c *queue.Chain) error {
	for !d.workers[i].Stopping() {
		ok, err := q.Pop(c)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if d.served != nil {
			d.served()
		}
		written := 0
		for _, p := range c.Readable {
			written += c.CopyOut(p)
		}
		q.Push(c.Head, uint32(written))
	}
	q.Publish()
	return nil
}

func (d *echo) Save(w *state.Writer) { w.Bytes(d.config[:]) }

func (d *echo) Restore(r *state.Reader) error {
	p := r.Bytes(len(d.config))
	if r.Err() == nil && len(p) != len(d.config) {
		r.Fail("configuration of %d bytes", len(p))
	}
	copy(d.config[:], p)
	return r.Err()
}

// works fails the test unless queue i of a started device echoes.
func works(t testing.TB, d *virtiotest.Driver, i int) {
	t.Helper()
	if got := d.Queues[i].Submit([][]byte{[]byte("hello, "), []byte("world")}, 3, 100).Wait(); string(got) != "hello, world" {
		t.Fatalf("echo said %q", got)
	}
}
