package gpu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/queue"
	"github.com/sharevm/vmm/vmm/memory"
)

const (
	controlSize = 256
	cursorSize  = 64
)

// Config describes a card.
type Config struct {
	Screens []*display.Surface // 1 to 16: one for each scanout
	// Width and Height are what the monitors like best, in pixels; 0 is 1280 by 800.
	Width, Height int
	// MaxBytes bounds the host's memory for the guest's pictures; 0 is 256 MiB.
	MaxBytes int
}

// Device is a card.
type Device struct {
	workers  virtio.Workers
	maxBytes int
	scanouts []*scanout
	// filling are the pictures that are still being read from a snapshot. No queue is served meanwhile.
	filling sync.WaitGroup

	mu         sync.Mutex // guards the rest, and the scanouts
	activation *virtio.Activation
	memory     *memory.Guest // while active
	events     uint32
	resources  map[uint32]*resource
	bytes      int // of all resources
	pieces     int // of all their backings
}

var _ virtio.Device = (*Device)(nil)

// New makes a card whose monitors are off.
func New(c Config) (*Device, error) {
	if n := len(c.Screens); n < 1 || n > maxScanouts {
		return nil, fmt.Errorf("virtio-gpu: %d screens, 1 to %d are possible", n, maxScanouts)
	}
	if c.Width <= 0 || c.Height <= 0 {
		c.Width, c.Height = defaultWidth, defaultHeight
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 256 << 20
	}
	d := &Device{maxBytes: c.MaxBytes, resources: map[uint32]*resource{}}
	for _, surface := range c.Screens {
		d.scanouts = append(d.scanouts, &scanout{device: d, surface: surface, size: image.Pt(c.Width, c.Height)})
	}
	for _, s := range d.scanouts {
		s.surface.Attach(s)
	}
	return d, nil
}

// Close takes the card from its screens. The device must be inactive, or its workers stopped.
func (d *Device) Close() error {
	for _, s := range d.scanouts {
		s.surface.Detach(s)
	}
	d.forget()
	return nil
}

// forget frees all that the guest made.
func (d *Device) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.resources {
		d.drop(r)
	}
	for _, s := range d.scanouts {
		s.off()
		s.setCursor(nil, image.Point{})
		s.position = image.Point{}
	}
}

// log is for what the guest does wrong. d.mu is held.
func (d *Device) log() *slog.Logger {
	if d.activation == nil {
		return slog.New(slog.DiscardHandler)
	}
	return d.activation.Log
}

// Type implements virtio.Device.
func (d *Device) Type() uint16 { return virtio.TypeGPU }

// Features implements virtio.Device.
func (d *Device) Features() uint64 { return featureEDID }

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 { return []uint16{controlSize, cursorSize} }

// ConfigSize implements virtio.Device.
func (d *Device) ConfigSize() uint32 { return configSize }

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(off uint32, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var c [configSize]byte
	binary.LittleEndian.PutUint32(c[configEventsRead:], d.events)
	binary.LittleEndian.PutUint32(c[configScanouts:], uint32(len(d.scanouts)))
	copy(p, c[off:])
}

// WriteConfig implements virtio.Device: events are cleared by writing them.
func (d *Device) WriteConfig(off uint32, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, v := range p {
		if at := off + uint32(i); at >= configEventsClear && at < configEventsClear+4 {
			d.events &^= uint32(v) << (8 * (at - configEventsClear))
		}
	}
}

// Activate implements virtio.Device.
func (d *Device) Activate(a *virtio.Activation) error {
	if a.Queues[controlQueue] == nil {
		return errors.New("the driver has not enabled the control queue")
	}
	if err := d.begin(a); err != nil {
		return err
	}
	d.Resume()
	return nil
}

func (d *Device) begin(a *virtio.Activation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.resources {
		if err := r.bind(a.Memory); err != nil {
			return fmt.Errorf("the backing of resource %d: %w", r.id, err)
		}
	}
	d.activation, d.memory = a, a.Memory
	return nil
}

// Deactivate implements virtio.Device.
func (d *Device) Deactivate() {
	d.workers.Stop()
	d.forget()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.activation, d.memory, d.events = nil, nil, 0
}

// Pause implements state.Device.
func (d *Device) Pause() { d.workers.Stop() }

// Resume implements state.Device.
func (d *Device) Resume() {
	d.mu.Lock()
	a := d.activation
	d.mu.Unlock()
	if a == nil {
		return
	}
	for _, index := range []int{controlQueue, cursorQueue} {
		if q := a.Queues[index]; q != nil {
			w := &queueWorker{device: d, cursor: index == cursorQueue}
			d.workers.Serve(a, q, w.serve)
		}
	}
}

// queueWorker serves one queue.
type queueWorker struct {
	device *Device
	cursor bool
	chain  queue.Chain
	cmd    command
	answer [edidSize]byte
}

// serve answers the commands that are there.
func (w *queueWorker) serve(q *queue.Queue) error {
	w.device.filling.Wait()
	for !w.device.workers.Stopping() {
		ok, err := q.Pop(&w.chain)
		if err != nil || !ok {
			return err
		}
		w.cmd = command{}
		w.cmd.n = w.chain.CopyIn(w.cmd.b[:headerSize])
		n := w.device.execute(w)
		q.Push(w.chain.Head, uint32(w.chain.CopyOut(w.answer[:n])))
		q.Publish()
	}
	return nil
}
