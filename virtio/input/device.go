package input

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/queue"
)

// Queues (section 5.8.2).
const (
	eventQueue = iota
	statusQueue
	queueCount
)

const (
	queueSize = 64
	eventSize = 8 // struct virtio_input_event
)

var errSmallBuffer = errors.New("a buffer for events is too small")

// Device is an input device, and the input.Sink of it.
type Device struct {
	class      input.Class
	leds       func(input.LEDs)
	workers    virtio.Workers
	activation *virtio.Activation
	event      queue.Chain
	status     queue.Chain
	lit        input.LEDs // of the status queue's worker
	restored   bool       // what the guest was left with is to be let go

	mu               sync.Mutex // guards the following
	selected, subsel uint8
	active           bool
	waiting          backlog
	wake             func() // of the event queue's worker; nil while there is none
}

var (
	_ virtio.Device = (*Device)(nil)
	_ input.Sink    = (*Device)(nil)
)

// New returns a device of the class. leds is called when the guest changes the lights of a keyboard; it must not block, and may be nil.
func New(class input.Class, leds func(input.LEDs)) *Device {
	if leds == nil {
		leds = func(input.LEDs) {}
	}
	return &Device{class: class, leds: leds}
}

// Ready implements input.Sink.
func (d *Device) Ready() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.active
}

// Backlog implements input.Sink.
func (d *Device) Backlog() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waiting.n
}

// Frame implements input.Sink.
func (d *Device) Frame(events []input.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.active {
		return
	}
	d.waiting.add(events)
	if d.wake != nil {
		d.wake()
	}
}

// Type implements virtio.Device.
func (d *Device) Type() uint16 { return virtio.TypeInput }

// Features implements virtio.Device.
func (d *Device) Features() uint64 { return 0 }

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 { return []uint16{queueSize, queueSize} }

// ConfigSize implements virtio.Device.
func (d *Device) ConfigSize() uint32 { return configSize }

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(off uint32, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var c [configSize]byte
	c[configSelect], c[configSubsel] = d.selected, d.subsel
	c[configLength] = uint8(len(describe(d.class, d.selected, d.subsel, c[configData:configData:configSize])))
	copy(p, c[off:])
}

// WriteConfig implements virtio.Device.
func (d *Device) WriteConfig(off uint32, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, v := range p {
		switch off + uint32(i) {
		case configSelect:
			d.selected = v
		case configSubsel:
			d.subsel = v
		}
	}
}

// Activate implements virtio.Device.
func (d *Device) Activate(a *virtio.Activation) error {
	if a.Queues[eventQueue] == nil {
		return errors.New("the driver has not enabled the event queue")
	}
	d.activation = a
	d.mu.Lock()
	d.active = true
	d.mu.Unlock()
	d.Resume()
	return nil
}

// Deactivate implements virtio.Device.
func (d *Device) Deactivate() {
	d.Pause()
	d.activation = nil
	d.lit, d.restored = 0, false
	d.leds(0)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active, d.selected, d.subsel = false, 0, 0
	d.waiting.clear()
}

// Pause implements state.Device.
func (d *Device) Pause() {
	d.workers.Stop()
	d.setWake(nil)
}

// Resume implements state.Device.
func (d *Device) Resume() {
	a := d.activation
	if a == nil {
		return
	}
	if d.restored {
		d.restored = false
		d.letGo()
	}
	events := a.Queues[eventQueue]
	d.setWake(events.Kick.Signal)
	d.workers.Go(a, "events", events.Kick.Signal, func() error { return d.deliver(events) })
	if q := a.Queues[statusQueue]; q != nil {
		d.workers.Serve(a, q, d.heed)
	}
}

func (d *Device) letGo() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting.letGo()
}

func (d *Device) setWake(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wake = f
}

// deliver is the worker of the event queue.
func (d *Device) deliver(q *queue.Queue) error {
	for !d.workers.Stopping() {
		more, err := d.deliverSome(q)
		if err != nil {
			return err
		}
		// A kick matters only to events that wait for buffers.
		if more && q.EnableNotifications() {
			continue
		}
		if err := q.Kick.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// deliverSome delivers until there are no more events, or no buffers for more, and says which.
func (d *Device) deliverSome(q *queue.Queue) (more bool, err error) {
	q.DisableNotifications()
	defer q.Publish()
	for !d.workers.Stopping() {
		e, ok := d.oldest()
		if !ok {
			return false, nil
		}
		if ok, err = q.Pop(&d.event); err != nil || !ok {
			return true, err
		}
		var b [eventSize]byte
		binary.LittleEndian.PutUint16(b[0:], uint16(e.Type))
		binary.LittleEndian.PutUint16(b[2:], uint16(e.Code))
		binary.LittleEndian.PutUint32(b[4:], uint32(e.Value))
		if d.event.WriteLen < eventSize {
			return true, errSmallBuffer
		}
		q.Push(d.event.Head, uint32(d.event.CopyOut(b[:])))
		d.drop()
	}
	return false, nil
}

func (d *Device) oldest() (e input.Event, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return *d.waiting.at(0), d.waiting.n > 0
}

func (d *Device) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting.drop()
}

// heed takes what the driver says of LEDs. Other events mean nothing here.
func (d *Device) heed(q *queue.Queue) error {
	defer q.Publish()
	for !d.workers.Stopping() {
		ok, err := q.Pop(&d.status)
		if err != nil || !ok {
			return err
		}
		var b [eventSize]byte
		n := d.status.CopyIn(b[:])
		code := binary.LittleEndian.Uint16(b[2:])
		if n == eventSize && d.class == input.Keyboard && binary.LittleEndian.Uint16(b[0:]) == typeLED && code < lights {
			d.lit &^= 1 << code
			if binary.LittleEndian.Uint32(b[4:]) != 0 {
				d.lit |= 1 << code
			}
			d.leds(d.lit)
		}
		q.Push(d.status.Head, 0)
	}
	return nil
}
