package virtio

import (
	"log/slog"

	"github.com/sharevm/vmm/virtio/queue"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/state"
)

// Device is a virtio device behind any transport.
//
// The transport calls Activate, Deactivate and the methods of state.Device one at a time. ReadConfig and WriteConfig may come
// from several vCPUs at any moment, in every state.
type Device interface {
	// Type is the device's number (virtio 1.2, section 5).
	Type() uint16
	// Features are the device's own features (bits 0 to 23, 50 to 63). The transport adds those of rings and of itself.
	Features() uint64
	// QueueSizes holds the largest size of each queue, powers of two; its length is the number of queues.
	QueueSizes() []uint16
	// ConfigSize is the length in bytes of the device-specific configuration.
	ConfigSize() uint32
	// ReadConfig fills p from off. The range lies inside the configuration.
	ReadConfig(off uint32, p []byte)
	// WriteConfig stores p at off. The range lies inside the configuration. Bytes that the driver may not write stay as they are.
	WriteConfig(off uint32, p []byte)

	// Activate starts the device: the driver has set DRIVER_OK. It also runs after Restore, when the device was
	// active in the snapshot. Queues may hold work already, which no kick announces. After an error the device is inactive
	// and the driver is told that it needs a reset.
	Activate(a *Activation) error
	// Deactivate is a reset by the driver. It returns when nothing touches guest memory or queues any more, and
	// the device is as after creation. It may come when the device is not active.
	Deactivate()

	// Device is the snapshot cycle. The transport saves queues, features and status; the device saves only what
	// these do not tell. Pause leaves no chain popped and not pushed (Unpop helps) and no push unpublished. Restore comes before
	// Activate, on an inactive device.
	state.Device
}

// RingResetter is implemented by devices that can stop and start single queues (VIRTIO_F_RING_RESET).
type RingResetter interface {
	// StopQueue returns when nothing touches queue index any more.
	StopQueue(index int)
	// StartQueue serves the queue again, over new rings.
	StartQueue(index int, q *queue.Queue)
}

// Activation is what a device works with from Activate to Deactivate.
type Activation struct {
	Features uint64         // as negotiated, with those of rings and transport
	Queues   []*queue.Queue // by number; nil where the driver did not enable a queue
	Memory   *memory.Guest  // for addresses that do not come in descriptors
	Log      *slog.Logger   // carries the device's name; never nil

	// ConfigChanged tells the driver that the device's configuration has changed. It is called after the change, from any
	// goroutine, and does not block.
	ConfigChanged func()
	// Fail says that the device can't go on, mostly because of what the guest did (DEVICE_NEEDS_RESET). Any
	// goroutine may call it, it does not block, and it may be called again.
	Fail func(error)
}

// Has says whether all features of mask were negotiated.
func (a *Activation) Has(mask uint64) bool { return a.Features&mask == mask }
