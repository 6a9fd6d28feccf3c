package transport

import (
	"errors"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/queue"
)

// maxComplaints bounds the log lines that a guest can cause by breaking the device again and again.
const maxComplaints = 16

func (t *Transport) deviceStatus() uint8 {
	if t.needsReset.Load() {
		return t.status | virtio.StatusNeedsReset
	}
	return t.status
}

// steps are the status bits in the order in which a driver sets them (virtio 1.2, section 3.1.1).
var steps = [...]uint8{virtio.StatusAcknowledge, virtio.StatusDriver, virtio.StatusFeaturesOK, virtio.StatusDriverOK}

// setStatus takes a write of the status register. Zero resets; otherwise bits are only ever added, each after those before it, so
// a step that is out of order or that the device refuses reads back as zero. t.mu is held.
func (t *Transport) setStatus(v uint8) {
	if v == 0 {
		t.reset()
		return
	}
	t.status |= v & virtio.StatusFailed
	for _, step := range steps {
		if t.status&step != 0 {
			continue
		}
		if v&step == 0 {
			return
		}
		switch step {
		case virtio.StatusFeaturesOK:
			if t.driverFeatures&^t.offered != 0 || t.driverFeatures&virtio.FeatureVersion1 == 0 {
				return
			}
			t.status |= step
		case virtio.StatusDriverOK:
			t.status |= step
			if err := t.buildQueues(); err != nil {
				t.fail(err)
				return
			}
			t.activate()
		default:
			t.status |= step
		}
	}
}

// activate starts the device with the queues that were built. t.mu is held.
func (t *Transport) activate() {
	queues := make([]*queue.Queue, len(t.queues))
	for i := range queues {
		queues[i] = t.queues[i].live
	}
	err := t.dev.Activate(&virtio.Activation{
		Features: t.driverFeatures, Queues: queues, Memory: t.mem, Log: t.log,
		ConfigChanged: t.configChanged, Fail: t.fail,
	})
	if err != nil {
		t.fail(err)
		return
	}
	t.active = true
}

// reset stops the device, which waits for its workers, and forgets what the driver has set up. t.mu is held.
func (t *Transport) reset() {
	t.dev.Deactivate()
	t.active, t.restored = false, false
	t.status = 0
	t.driverFeatures = 0
	t.deviceFeatureSelect, t.driverFeatureSelect, t.queueSelect = 0, 0, 0
	for i := range t.queues {
		t.queues[i].reset()
	}
	t.needsReset.Store(false)
	t.configVector.Store(noVector)
	t.takeISR()
}

// fail is virtio.Activation.Fail.
func (t *Transport) fail(err error) {
	if t.needsReset.Swap(true) {
		return
	}
	if t.complaints.Add(1) <= maxComplaints {
		log := t.log
		if p := (*virtio.PanicError)(nil); errors.As(err, &p) {
			log = log.With("stack", string(p.Stack))
		}
		log.Warn("device needs a reset by its driver", "error", err)
	}
	t.interrupt(t.configVector.Load(), isrConfig)
}

// configChanged is virtio.Activation.ConfigChanged.
func (t *Transport) configChanged() {
	t.generation.Add(1)
	t.interrupt(t.configVector.Load(), isrConfig)
}
