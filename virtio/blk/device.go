package blk

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/internal/pace"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/vmm/state"
)

// Config says what a block device is made of.
type Config struct {
	// Image is the disk. It stays owned by the caller, who closes it after the device is no longer used.
	Image disk.Image
	// Serial is what the guest reads as the disk's identity: up to 20 bytes of ASCII.
	Serial string
	// ReadOnly refuses all writes. It is implied by an image that is read-only.
	ReadOnly bool
	// WriteThrough makes every write durable before it completes, whatever the guest would accept.
	WriteThrough bool
	// Queues is the number of request queues, 1 to 64; 0 means 1. One for each vCPU serves best.
	Queues int
	// QueueSize is the size of each queue in descriptors, a power of two up to 1024; 0 means 256.
	QueueSize int
	// Executors is how many requests are carried out at the same time, all queues together; 0 means 8.
	Executors int
	// Reads and Writes bound how fast requests are taken from the guest; what waits, waits in its rings. Flushes, discards and zeroes
	// are writes. nil is no bound.
	Reads, Writes *throttle.Gate
	// Log takes the errors of the image; nil discards them.
	Log *slog.Logger
}

const (
	maxQueues        = 64
	maxQueueSize     = 1024
	defaultQueueSize = 256
	defaultExecutors = 8
	// slotsPerLane is how many requests of one queue may be in flight. What lies beyond waits in the guest's ring.
	slotsPerLane = 64
)

// Device is a virtio block device. It implements [virtio.Device].
type Device struct {
	image        disk.Image
	serial       [idSize]byte
	readOnly     bool
	writeThrough bool
	blockSize    int // logical block in bytes
	physicalSize int // what the image allocates in, or a page
	queues       int
	queueSize    int
	executors    int
	reads        *throttle.Gate
	writes       *throttle.Gate
	faults       faults

	sectors   atomic.Uint64 // capacity
	writeback atomic.Bool   // the field of that name in the configuration space

	active    atomic.Pointer[virtio.Activation] // nil while inactive
	lanes     virtio.Workers                    // one for each queue
	pool      virtio.Workers                    // the executors
	jobs      chan *request                     // from the lanes to the executors; closed when the lanes have ended
	abandoned atomic.Bool                       // a reset is under way: what has not begun need not be done
	pace      pace.Pace
}

// New returns a device on c.Image. Feed it to a transport.
func New(c Config) (*Device, error) {
	info := c.Image.Info()
	d := &Device{
		image: c.Image, readOnly: c.ReadOnly || info.ReadOnly, writeThrough: c.WriteThrough,
		blockSize: info.SectorSize, queues: c.Queues, queueSize: c.QueueSize, executors: c.Executors,
		reads: c.Reads, writes: c.Writes, faults: faults{log: c.Log},
	}
	if d.blockSize == 0 {
		d.blockSize = sectorSize
	}
	d.physicalSize = 4096
	if d.queues == 0 {
		d.queues = 1
	}
	if d.queueSize == 0 {
		d.queueSize = defaultQueueSize
	}
	if d.executors == 0 {
		d.executors = defaultExecutors
	}
	if d.faults.log == nil {
		d.faults.log = slog.New(slog.DiscardHandler)
	}
	switch {
	case len(c.Serial) > idSize:
		return nil, fmt.Errorf("virtio-blk: serial number %q is longer than %d bytes", c.Serial, idSize)
	case d.queues < 1 || d.queues > maxQueues:
		return nil, fmt.Errorf("virtio-blk: %d queues, must be 1 to %d", d.queues, maxQueues)
	case d.queueSize < 4 || d.queueSize > maxQueueSize || d.queueSize&(d.queueSize-1) != 0:
		return nil, fmt.Errorf("virtio-blk: queue size %d is not a power of two from 4 to %d", d.queueSize, maxQueueSize)
	case d.executors < 1:
		return nil, fmt.Errorf("virtio-blk: %d executors, must be at least 1", d.executors)
	case d.blockSize != 512 && d.blockSize != 4096:
		return nil, fmt.Errorf("virtio-blk: logical sectors of %d bytes, must be 512 or 4096", d.blockSize)
	}
	copy(d.serial[:], c.Serial)
	d.sectors.Store(uint64(c.Image.Size()) / sectorSize)
	d.powerOn()
	return d, nil
}

// powerOn puts what the driver can change back to its first value.
func (d *Device) powerOn() { d.writeback.Store(!d.writeThrough) }

// Type is virtio.TypeBlock.
func (d *Device) Type() uint16 { return virtio.TypeBlock }

// QueueSizes is one size for each request queue.
func (d *Device) QueueSizes() []uint16 {
	sizes := make([]uint16, d.queues)
	for i := range sizes {
		sizes[i] = uint16(d.queueSize)
	}
	return sizes
}

// Activate starts serving the queues.
func (d *Device) Activate(a *virtio.Activation) error {
	if a.Queues[0] == nil {
		return errors.New("virtio-blk: the first request queue is not enabled")
	}
	// Without FLUSH a driver cannot make writes durable, so they have to be (virtio 1.2, section 5.2.5.2).
	if !a.Has(featureFlush) {
		d.writeback.Store(false)
	}
	d.active.Store(a)
	d.start()
	return nil
}

// start sets the lanes and the executors to work.
func (d *Device) start() {
	a := d.active.Load()
	d.jobs = make(chan *request, slotsPerLane*d.queues)
	for _, q := range a.Queues {
		if q != nil {
			d.lanes.Serve(a, q, newLane(d, q).handle)
		}
	}
	end := sync.OnceFunc(func() { close(d.jobs) })
	for i := range d.executors {
		d.pool.Go(a, fmt.Sprintf("executor %d", i), end, d.executor)
	}
}

// Deactivate stops the device. Requests that have not reached the image yet are forgotten.
func (d *Device) Deactivate() {
	d.abandoned.Store(true)
	d.Pause()
	d.abandoned.Store(false)
	d.active.Store(nil)
	d.powerOn()
}

// Pause finishes the requests in flight and takes no more.
func (d *Device) Pause() {
	d.lanes.Stop()
	d.pool.Stop()
}

// Resume goes on after Pause.
func (d *Device) Resume() {
	if d.active.Load() != nil {
		d.start()
	}
}

// stable says whether a write must be durable before it completes.
func (d *Device) stable() bool {
	if d.writeThrough {
		return true
	}
	a := d.active.Load()
	if a.Has(featureConfigWCE) {
		return !d.writeback.Load()
	}
	return !a.Has(featureFlush)
}

// Resized takes over a change of the image's size and tells the driver.
func (d *Device) Resized() {
	d.sectors.Store(uint64(d.image.Size()) / sectorSize)
	if a := d.active.Load(); a != nil {
		a.ConfigChanged()
	}
}

const (
	stateName    = "virtio-blk"
	stateVersion = 1
)

// Save appends the cache mode, and the capacity for Restore to compare.
func (d *Device) Save(w *state.Writer) {
	w.Version(stateName, stateVersion)
	w.U64(d.sectors.Load())
	w.Bool(d.writeback.Load())
}

// Restore takes back what Save wrote, of a disk of the same capacity.
func (d *Device) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	if n := r.U64(); n != d.sectors.Load() {
		r.Fail("the disk had %d sectors and now has %d", n, d.sectors.Load())
	}
	writeback := r.Bool()
	if r.Err() == nil {
		d.writeback.Store(writeback && !d.writeThrough)
	}
	return r.Err()
}
