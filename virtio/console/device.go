package console

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/queue"
)

// PortConfig says what a port is.
type PortConfig struct {
	// Name is how the guest finds the port, such as "com.redhat.spice.0"; empty for none. At most 64 bytes of UTF-8.
	Name string
	// Console makes the port a terminal of the guest.
	Console bool
	// In is where the guest's input comes from; nil for none. It is read ahead by a few KiB.
	In io.Reader
	// Out is where the guest's output goes; nil drops it. After an error it gets no more, and output is dropped.
	Out io.Writer
	// Opened, if not nil, is told when the guest opens and closes its end (only with several or named ports). It must not block. Whoever wants to be told
	// begins anew each time: input that the guest has not read when it closes its end is dropped then, all but what In returns at that very moment.
	Opened func(open bool)
}

// Config says what a console device is made of.
type Config struct {
	// Ports are the ports by number, 1 to 16.
	Ports []PortConfig
	// Columns and Rows are the size of the terminal of port 0; 0 means 80 by 25. See [Device.Resize].
	Columns, Rows uint16
	// Log takes failures of the host's side; nil discards them.
	Log *slog.Logger
}

const (
	maxPorts         = 16
	maxName          = 64
	portQueueSize    = 128
	controlQueueSize = 64
	// flushTime is how long Close waits for a slow Writer to take what is left.
	flushTime = time.Second
)

// Feature bits (virtio 1.2, section 5.3.3).
const (
	featureSize           = 1 << 0
	featureMultiport      = 1 << 1
	featureEmergencyWrite = 1 << 2
)

// Layout of struct virtio_console_config (section 5.3.4): offsets in bytes.
const (
	configColumns   = 0
	configRows      = 2
	configMaxPorts  = 4
	configEmergency = 8
	configSize      = 12
)

// Numbers of the control queues; the queues of port 0 come before them, those of the others after.
const (
	controlReceive  = 2
	controlTransmit = 3
)

// Device is a virtio console. It implements [virtio.Device].
type Device struct {
	ports     []*port
	multiport bool // offered
	log       *slog.Logger
	pumps     sync.WaitGroup // those that write to the host

	active  atomic.Pointer[virtio.Activation] // nil while inactive
	workers virtio.Workers
	message queue.Chain // of the driver's control messages

	restored bool // from a snapshot, and not activated yet

	mu            sync.Mutex // guards what follows, and the control state of every port
	columns, rows uint16
	doorbell      func() // wakes the worker that sends control messages; nil while there is none
}

// New returns a device and starts the pumps of its ports. Close ends them.
func New(c Config) (*Device, error) {
	d := &Device{log: c.Log, columns: c.Columns, rows: c.Rows}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.columns == 0 || d.rows == 0 {
		d.columns, d.rows = 80, 25
	}
	if len(c.Ports) < 1 || len(c.Ports) > maxPorts {
		return nil, fmt.Errorf("virtio-console: %d ports, must be 1 to %d", len(c.Ports), maxPorts)
	}
	d.multiport = len(c.Ports) > 1
	for i, pc := range c.Ports {
		if len(pc.Name) > maxName {
			return nil, fmt.Errorf("virtio-console: name of port %d is longer than %d bytes", i, maxName)
		}
		if pc.Name != "" || !pc.Console {
			d.multiport = true
		}
		d.ports = append(d.ports, newPort(d, i, pc))
	}
	for _, p := range d.ports {
		p.pump()
	}
	return d, nil
}

// Close ends the pumps. What the guest has written reaches the Writers first, if they take it within a second. A pump that waits for
// its Reader ends when that returns. The device must not be active.
func (d *Device) Close() error {
	for _, p := range d.ports {
		p.in.close()
		p.out.close()
	}
	flushed := make(chan struct{})
	go func() {
		d.pumps.Wait()
		close(flushed)
	}()
	select {
	case <-flushed:
		return nil
	case <-time.After(flushTime):
		return errors.New("virtio-console: the host did not take the rest of the guest's output")
	}
}

// Type is virtio.TypeConsole.
func (d *Device) Type() uint16 { return virtio.TypeConsole }

// Features are the feature bits that the device offers beside those of its transport.
func (d *Device) Features() uint64 {
	f := uint64(featureSize | featureEmergencyWrite)
	if d.multiport {
		f |= featureMultiport
	}
	return f
}

// QueueSizes is receive and transmit queue of port 0, then of the control channel, then of the other ports.
func (d *Device) QueueSizes() []uint16 {
	sizes := []uint16{portQueueSize, portQueueSize}
	if d.multiport {
		sizes = append(sizes, controlQueueSize, controlQueueSize)
	}
	for range d.ports[1:] {
		sizes = append(sizes, portQueueSize, portQueueSize)
	}
	return sizes
}

// ConfigSize is the length of the configuration space in bytes.
func (d *Device) ConfigSize() uint32 { return configSize }

// ReadConfig fills p from off.
func (d *Device) ReadConfig(off uint32, p []byte) {
	var c [configSize]byte
	d.mu.Lock()
	binary.LittleEndian.PutUint16(c[configColumns:], d.columns)
	binary.LittleEndian.PutUint16(c[configRows:], d.rows)
	d.mu.Unlock()
	binary.LittleEndian.PutUint32(c[configMaxPorts:], uint32(len(d.ports)))
	copy(p, c[off:])
}

// WriteConfig takes an emergency write: one byte of output that needs no queue (section 5.3.5). It is dropped when
// the host is behind, since a vCPU must not wait here.
func (d *Device) WriteConfig(off uint32, p []byte) {
	if off <= configEmergency && configEmergency < off+uint32(len(p)) {
		at := configEmergency - off
		d.ports[0].out.put(p[at : at+1])
	}
}

// Resize changes the size of the terminal, in characters.
func (d *Device) Resize(columns, rows uint16) {
	d.mu.Lock()
	d.columns, d.rows = columns, rows
	for _, p := range d.ports {
		if p.console && p.ready {
			p.post(postSize)
		}
	}
	d.mu.Unlock()
	if a := d.active.Load(); a != nil {
		a.ConfigChanged()
	}
}

// SetOpen tells the guest whether somebody listens at the host's end of a port. Ports start out open.
func (d *Device) SetOpen(port int, open bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.ports[port]
	if p.hostOpen != open {
		p.hostOpen = open
		if p.ready {
			p.post(postOpen)
		}
	}
}

// Activate starts the workers.
func (d *Device) Activate(a *virtio.Activation) error {
	if p := d.ports[0]; a.Queues[p.receiveIndex()] == nil || a.Queues[p.transmitIndex()] == nil {
		return errors.New("virtio-console: a queue of port 0 is not enabled")
	}
	if a.Has(featureMultiport) && (a.Queues[controlReceive] == nil || a.Queues[controlTransmit] == nil) {
		return errors.New("virtio-console: a control queue is not enabled")
	}
	d.active.Store(a)
	if d.restored {
		d.remind()
	}
	d.start()
	return nil
}

// remind has the driver told of the host's side again, which may differ from when the state was saved.
func (d *Device) remind() {
	d.restored = false
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.ports {
		if p.ready {
			p.post(postOpen)
			if p.console {
				p.post(postSize)
			}
		}
	}
}

// start sets the workers to work, on the queues that the driver has enabled.
func (d *Device) start() {
	a := d.active.Load()
	ports := d.ports[:1]
	if a.Has(featureMultiport) {
		ports = d.ports
		q := a.Queues[controlReceive]
		d.mu.Lock()
		d.doorbell = q.Kick.Signal
		d.mu.Unlock()
		d.workers.Go(a, "control messages", q.Kick.Signal, func() error { return d.sendControl(q) })
		d.workers.Serve(a, a.Queues[controlTransmit], d.receiveControl)
	}
	for _, p := range ports {
		if q := a.Queues[p.receiveIndex()]; q != nil {
			p.in.setWake(q.Kick.Signal)
			d.workers.Go(a, fmt.Sprintf("port %d input", p.index), q.Kick.Signal, func() error { return p.input(q) })
		}
		if q := a.Queues[p.transmitIndex()]; q != nil {
			p.out.setWake(q.Kick.Signal)
			d.workers.Serve(a, q, p.output)
		}
	}
}

// Pause stops the workers. What is on its way to or from the host stays in the rings.
func (d *Device) Pause() {
	d.workers.Stop()
	for _, p := range d.ports {
		p.in.setWake(nil)
		p.out.setWake(nil)
	}
	d.mu.Lock()
	d.doorbell = nil
	d.mu.Unlock()
}

// Resume goes on after Pause.
func (d *Device) Resume() {
	if d.active.Load() != nil {
		d.start()
	}
}

// Deactivate stops the device.
func (d *Device) Deactivate() {
	d.Pause()
	d.active.Store(nil)
	d.restored = false
	for _, p := range d.ports {
		p.reset()
	}
}
