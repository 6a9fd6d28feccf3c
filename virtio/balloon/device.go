package balloon

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/queue"
)

// Features (section 5.5.3).
const (
	featureStats        = 1 << 1 // VIRTIO_BALLOON_F_STATS_VQ
	featureDeflateOnOOM = 1 << 2 // VIRTIO_BALLOON_F_DEFLATE_ON_OOM
	featurePagePoison   = 1 << 4 // VIRTIO_BALLOON_F_PAGE_POISON
	featureReporting    = 1 << 5 // VIRTIO_BALLOON_F_REPORTING
)

// Queues (section 5.5.2). Numbers 3 and 4 belong to free page hinting and reporting, but drivers count only the queues that were
// negotiated: Linux up to 6.10 takes 3 for reporting, or 2 where it does not give statistics. Since hinting is never offered, every queue
// that is not one of the first three in use takes reports.
const (
	inflateQueue = iota
	deflateQueue
	statsQueue
	queueCount = 5
)

// queueSize is the size of each queue: the driver waits for its answer in all of them.
const queueSize = 128

// Fields of the configuration (section 5.5.4).
const (
	configTarget = 0  // num_pages: what the host asks for
	configActual = 4  // actual: what the driver says it has given
	configPoison = 12 // poison_val: what the driver's free pages hold
	configSize   = 16
)

// pageSize is the unit of the device, whatever host and guest have.
const pageSize = 4096

// Device is a memory balloon.
type Device struct {
	give       func(pages []byte) error
	workers    virtio.Workers
	activation *virtio.Activation
	lists      [2]list // of the inflate and deflate queues
	reports    [queueCount]queue.Chain
	stats      collector

	mu            sync.Mutex // guards the following
	config        [configSize]byte
	configChanged func() // nil while inactive
}

var _ virtio.Device = (*Device)(nil)

// New returns a device whose target is 0. discard gives the memory behind a slice of guest RAM back to the host; it must be safe for
// concurrent use, and leave alone what lies partly outside the slice.
func New(discard func(pages []byte) error) *Device { return &Device{give: discard} }

// Type implements virtio.Device.
func (d *Device) Type() uint16 { return virtio.TypeBalloon }

// Features implements virtio.Device.
func (d *Device) Features() uint64 {
	return featureStats | featureDeflateOnOOM | featurePagePoison | featureReporting
}

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 {
	return []uint16{queueSize, queueSize, queueSize, queueSize, queueSize}
}

// ConfigSize implements virtio.Device.
func (d *Device) ConfigSize() uint32 { return configSize }

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(off uint32, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(p, d.config[off:])
}

// WriteConfig implements virtio.Device.
func (d *Device) WriteConfig(off uint32, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, v := range p {
		switch at := off + uint32(i); at &^ 3 {
		case configActual, configPoison:
			d.config[at] = v
		}
	}
}

// SetTarget asks the guest to give up that many bytes, rounded down to pages. The driver takes its time, and may give less or nothing.
// The target outlives a reset of the device.
func (d *Device) SetTarget(bytes uint64) {
	d.mu.Lock()
	d.setField(configTarget, uint32(min(bytes/pageSize, 1<<32-1)))
	changed := d.configChanged
	d.mu.Unlock()
	if changed != nil {
		changed()
	}
}

// Target is what the guest is asked to give up, in bytes.
func (d *Device) Target() uint64 { return uint64(d.field(configTarget)) * pageSize }

// Actual is what the driver says it has given up, in bytes. It need not be true.
func (d *Device) Actual() uint64 { return uint64(d.field(configActual)) * pageSize }

// RequestStats asks the driver for new statistics. They take their time, and are dropped where the driver gives none.
func (d *Device) RequestStats() { d.stats.request() }

// Stats returns what the driver said last about its memory, and when; the zero time if it never did.
func (d *Device) Stats() (Stats, time.Time) { return d.stats.last() }

func (d *Device) field(at int) uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return binary.LittleEndian.Uint32(d.config[at:])
}

// setField stores a field of the configuration. The caller holds mu.
func (d *Device) setField(at int, v uint32) { binary.LittleEndian.PutUint32(d.config[at:], v) }

// Activate implements virtio.Device.
func (d *Device) Activate(a *virtio.Activation) error {
	if a.Queues[inflateQueue] == nil || a.Queues[deflateQueue] == nil {
		return errors.New("the driver has not enabled the queues of pages")
	}
	d.activation = a
	d.mu.Lock()
	d.configChanged = a.ConfigChanged
	d.mu.Unlock()
	d.Resume()
	return nil
}

// Deactivate implements virtio.Device.
func (d *Device) Deactivate() {
	d.workers.Stop()
	d.activation = nil
	d.stats.forget()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.configChanged = nil
	d.setField(configActual, 0)
	d.setField(configPoison, 0)
}

// Resume implements state.Device.
func (d *Device) Resume() {
	a := d.activation
	for i, q := range a.Queues {
		if q == nil {
			continue
		}
		switch {
		case i == inflateQueue, i == deflateQueue:
			d.workers.Serve(a, q, func(q *queue.Queue) error { return d.servePages(q, i == inflateQueue) })
		case i == statsQueue && a.Has(featureStats):
			d.stats.start(&d.workers, a, q)
		case a.Has(featureReporting):
			d.workers.Serve(a, q, d.serveReports)
		}
	}
}

// Pause implements state.Device.
func (d *Device) Pause() { d.workers.Stop() }
