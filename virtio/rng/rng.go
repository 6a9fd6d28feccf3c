// Package rng is virtio's entropy device (virtio 1.2, section 5.4): it fills what the driver asks for from the host's random
// number generator.
package rng

import (
	"crypto/rand"
	"errors"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/queue"
	"github.com/sharevm/vmm/vmm/state"
)

// maxRequest bounds the bytes given for one request, so that a guest can't keep a processor of the host busy with a
// single descriptor of 4 GiB. The driver learns how many it got; Linux asks for 64 at a time.
const maxRequest = 64 << 10

// requestQueue is the device's only queue.
const requestQueue = 0

// Device is an entropy device.
type Device struct {
	workers    virtio.Workers
	activation *virtio.Activation
	chain      queue.Chain
}

// New returns an entropy device.
func New() *Device { return &Device{} }

// Type implements virtio.Device.
func (d *Device) Type() uint16 { return virtio.TypeEntropy }

// Features implements virtio.Device.
func (d *Device) Features() uint64 { return 0 }

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 { return []uint16{64} }

// ConfigSize implements virtio.Device.
func (d *Device) ConfigSize() uint32 { return 0 }

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(uint32, []byte) {}

// WriteConfig implements virtio.Device.
func (d *Device) WriteConfig(uint32, []byte) {}

// Activate implements virtio.Device.
func (d *Device) Activate(a *virtio.Activation) error {
	if a.Queues[requestQueue] == nil {
		return errors.New("the driver has not enabled the request queue")
	}
	d.activation = a
	d.Resume()
	return nil
}

// Deactivate implements virtio.Device.
func (d *Device) Deactivate() {
	d.workers.Stop()
	d.activation = nil
}

// Pause implements state.Device.
func (d *Device) Pause() { d.workers.Stop() }

// Save implements state.Device: there is nothing to keep, and a restored guest gets other random numbers.
func (d *Device) Save(*state.Writer) {}

// Restore implements state.Device.
func (d *Device) Restore(*state.Reader) error { return nil }

// Resume implements state.Device.
func (d *Device) Resume() {
	d.workers.Serve(d.activation, d.activation.Queues[requestQueue], d.serve)
}

// serve answers the requests that are there.
func (d *Device) serve(q *queue.Queue) error {
	for !d.workers.Stopping() {
		more, err := q.Pop(&d.chain)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		written := 0
		for _, buf := range d.chain.Writable {
			buf = buf[:min(len(buf), maxRequest-written)]
			if _, err := rand.Read(buf); err != nil {
				return err
			}
			written += len(buf)
		}
		q.Push(d.chain.Head, uint32(written))
		q.Publish()
	}
	return nil
}
