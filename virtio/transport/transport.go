package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/queue"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/event"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
)

// Layout of the BAR.
const (
	barIndex     = 0
	commonBase   = 0x0000
	isrBase      = 0x1000
	configBase   = 0x2000
	notifyBase   = 0x3000
	tableBase    = 0x4000
	pendingBase  = 0x5000
	regionSize   = 0x1000
	barSize      = 0x8000
	notifyStride = 4 // notify_off_multiplier

	portsIndex = 1   // the BAR of the doorbells that are ports
	maxPorts   = 256 // that a BAR may have

	maxQueues = regionSize/16 - 1 // the MSI-X table's room, less the configuration vector
)

// PCI identities (virtio 1.2, section 4.1.2).
const (
	vendor       = 0x1af4
	deviceBase   = 0x1040
	subsystem    = 0x1100 // any of at least 0x40 tells a modern device
	revision     = 1
	defaultClass = 0x00ff00
)

var classes = map[uint16]uint32{
	virtio.TypeNet:     0x020000,
	virtio.TypeBlock:   0x018000,
	virtio.TypeConsole: 0x078000,
	virtio.TypeSCSI:    0x010000,
	virtio.TypeGPU:     0x038000,
	virtio.TypeInput:   0x098000,
	virtio.TypeVsock:   0x028000,
	virtio.TypeFS:      0x018000,
}

// Config is what a transport needs of its machine.
type Config struct {
	Name   string           // for messages, such as "disk 0"
	Memory *memory.Guest    // guest RAM
	MSI    irq.MSIAllocator // nil leaves the device with INTx alone
	// Ports has the doorbells of up to 64 queues be ports as well, which drivers then prefer. A store to a port says to the processor what it is;
	// one to memory may have to be decoded first by KVM, which on AMD costs more than all else that a doorbell does.
	Ports bool
	Log   *slog.Logger // nil is silent
}

// Transport is a virtio device on PCI. It is also the state.Device that stands for it in snapshots.
type Transport struct {
	dev     virtio.Device
	name    string
	log     *slog.Logger
	mem     *memory.Guest
	offered uint64
	fn      *pci.Function
	msix    *pci.MSIX // nil without MSI
	queues  []queueState

	mu                  sync.Mutex // guards the following and queues
	deviceFeatureSelect uint32
	driverFeatureSelect uint32
	driverFeatures      uint64
	queueSelect         uint16
	status              uint8 // without StatusNeedsReset
	active              bool  // the device was activated
	restored            bool  // active, but the device is activated at Resume

	needsReset   atomic.Bool
	complaints   atomic.Int32 // broken devices logged so far
	generation   atomic.Uint32
	configVector atomic.Uint32

	isrMu sync.Mutex // makes the ISR byte and the pin change together
	isr   uint8
}

// New makes dev a PCI function. The transport calls dev from now on; nobody else does.
func New(dev virtio.Device, c Config) (*Transport, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	t := &Transport{dev: dev, name: c.Name, log: c.Log.With("device", c.Name), mem: c.Memory}
	t.configVector.Store(noVector)
	t.offered = dev.Features()&^virtio.ReservedFeatures |
		virtio.FeatureVersion1 | virtio.FeatureIndirectDesc | virtio.FeatureEventIdx
	if _, ok := dev.(virtio.RingResetter); ok {
		t.offered |= virtio.FeatureRingReset
	}
	sizes := dev.QueueSizes()
	if len(sizes) > maxQueues || dev.ConfigSize() > regionSize {
		return nil, fmt.Errorf("virtio: %s: %d queues and %d bytes of configuration don't fit", c.Name, len(sizes), dev.ConfigSize())
	}
	t.queues = make([]queueState, len(sizes))
	var bells, ports []bus.Doorbell
	for i, size := range sizes {
		if size == 0 || size&(size-1) != 0 || size > queue.MaxSize {
			return nil, errors.Join(fmt.Errorf("virtio: %s: queue %d of size %d", c.Name, i, size), t.closeEvents())
		}
		kick, err := event.New()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("virtio: %s: %w", c.Name, err), t.closeEvents())
		}
		q := &t.queues[i]
		q.max, q.kick = size, kick
		q.reset()
		bells = append(bells, bus.Doorbell{Addr: notifyBase + uint64(i)*notifyStride, Event: kick})
		ports = append(ports, bus.Doorbell{Addr: uint64(i) * notifyStride, Event: kick})
	}
	if !c.Ports || len(ports)*notifyStride > maxPorts {
		ports = nil
	}
	if err := t.describe(c, bells, ports); err != nil {
		return nil, errors.Join(fmt.Errorf("virtio: %s: %w", c.Name, err), t.closeEvents())
	}
	return t, nil
}

// describe builds the PCI function. Without ports it has none.
func (t *Transport) describe(c Config, bells, ports []bus.Doorbell) error {
	class, ok := classes[t.dev.Type()]
	if !ok {
		class = defaultClass
	}
	t.fn = pci.NewFunction(c.Name, pci.Identity{
		Vendor: vendor, Device: deviceBase + t.dev.Type(), SubsystemVendor: vendor, Subsystem: subsystem,
		Class: class, Revision: revision,
	})
	t.fn.UseINTx(1)
	if err := t.fn.AddBAR(barIndex, pci.Mem32, barSize, t, bells...); err != nil {
		return err
	}
	if len(ports) > 0 {
		size := uint64(notifyStride) << bits.Len(uint(len(ports)-1))
		if err := t.fn.AddBAR(portsIndex, pci.IO, size, (*doorbells)(t), ports...); err != nil {
			return err
		}
	}
	if c.MSI != nil {
		var err error
		if t.msix, err = t.fn.AddMSIX(c.MSI, len(t.queues)+1, barIndex, tableBase, pendingBase); err != nil {
			return err
		}
	}
	return t.addCapabilities(len(ports) > 0)
}

// Function is what to plug into the PCI root.
func (t *Transport) Function() *pci.Function { return t.fn }

// Reset is a reset of the whole machine: the device stops, and forgets its driver.
func (t *Transport) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reset()
}

// Close stops the device and gives back its events and interrupts. No vCPU may run any more.
func (t *Transport) Close() error {
	t.Reset()
	if t.msix != nil {
		t.msix.Close()
	}
	return t.closeEvents()
}

func (t *Transport) closeEvents() error {
	var errs []error
	for i := range t.queues {
		if t.queues[i].kick != nil {
			errs = append(errs, t.queues[i].kick.Close())
		}
	}
	return errors.Join(errs...)
}

// caught is deferred where a vCPU's access reaches the device: its panic breaks the device, and neither the vCPU nor the machine.
func (t *Transport) caught() {
	if p := recover(); p != nil {
		t.fail(fmt.Errorf("register access: %w", &virtio.PanicError{Value: p, Stack: debug.Stack()}))
	}
}

// Read implements bus.Device for the BAR.
func (t *Transport) Read(off uint64, p []byte) {
	defer t.caught()
	for len(p) > 0 {
		n := min(regionSize-int(off%regionSize), len(p))
		q, at := p[:n], int(off%regionSize)
		clear(q)
		switch off &^ (regionSize - 1) {
		case commonBase:
			t.readCommon(at, q)
		case isrBase:
			if at == 0 {
				q[0] = t.takeISR()
			}
		case configBase:
			if q = t.clip(at, q); len(q) > 0 {
				t.dev.ReadConfig(uint32(at), q)
			}
		}
		off, p = off+uint64(n), p[n:]
	}
}

// Write implements bus.Device for the BAR.
func (t *Transport) Write(off uint64, p []byte) {
	defer t.caught()
	for len(p) > 0 {
		n := min(regionSize-int(off%regionSize), len(p))
		q, at := p[:n], int(off%regionSize)
		switch off &^ (regionSize - 1) {
		case commonBase:
			t.writeCommon(at, q)
		case configBase:
			if q = t.clip(at, q); len(q) > 0 {
				t.dev.WriteConfig(uint32(at), q)
			}
		case notifyBase: // only where the bus did not take the doorbell
			t.ring(at)
		}
		off, p = off+uint64(n), p[n:]
	}
}

// ring is a store to doorbells, at bytes from the first.
func (t *Transport) ring(at int) {
	if i := at / notifyStride; i < len(t.queues) {
		t.queues[i].kick.Signal()
	}
}

// doorbells are the ports of a Transport, as far as the bus leaves stores there to it.
type doorbells Transport

// Read implements bus.Device. There is nothing to read.
func (*doorbells) Read(_ uint64, p []byte) { clear(p) }

// Write implements bus.Device.
func (d *doorbells) Write(off uint64, _ []byte) { (*Transport)(d).ring(int(off)) }

// clip cuts p to what lies inside the device's configuration at off.
func (t *Transport) clip(off int, p []byte) []byte {
	return p[:max(0, min(len(p), int(t.dev.ConfigSize())-off))]
}
