package vmxnet3

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sharevm/vmm/devices/nic"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
)

// Config says what a card is made of.
type Config struct {
	// Name is for messages.
	Name string
	// MAC is the permanent address.
	MAC [6]byte
	// Link is the cable. It stays owned by the caller, who closes it after the device is no longer used.
	Link network.Link
	// LinkDown starts with the cable unplugged; see Device.SetLink.
	LinkDown bool
	// In and Out bound how fast frames go to the guest and leave it; nil is no bound.
	In, Out *throttle.Gate
	Memory  *memory.Guest
	MSI     irq.MSIAllocator
	// Log takes failures; nil discards them.
	Log *slog.Logger
}

// roomPoll is how often a receiver without buffers looks again: a driver reads updateRxProd without a barrier behind its
// descriptors, and so may miss that it should have rung.
const roomPoll = 10 * time.Millisecond

// Device is a network card.
type Device struct {
	name     string
	mem      *memory.Guest
	function *pci.Function
	msi      *pci.MSI
	msix     *pci.MSIX
	port     *nic.Port
	log      *slog.Logger
	factory  [6]byte

	mu         sync.Mutex // guards what follows
	address    uint64     // of the shared area
	answer     uint32     // of the last command
	mac        [6]byte
	active     bool
	generation uint64 // changes whenever what is under way must not be completed
	setup      setup
	tx         []txQueue
	rx         []rxQueue
	nextTx     int
	finished   uint32 // interrupts that Flush raises
	intr       [vectors]interrupt
	asserted   bool // the pin is

	// The transmitting worker's.
	bufs [][]byte
}

// New returns a card whose workers run already: they find nothing to do before the driver activates it.
func New(c Config) (*Device, error) {
	switch {
	case c.MAC[0]&1 != 0:
		return nil, fmt.Errorf("vmxnet3: %x is a multicast address", c.MAC)
	case c.Link == nil || c.Memory == nil || c.MSI == nil:
		return nil, errors.New("vmxnet3: no link, no memory or no interrupts")
	}
	d := &Device{name: c.Name, mem: c.Memory, log: c.Log, factory: c.MAC, mac: c.MAC}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	for i := range d.intr {
		d.intr[i].masked = true
	}
	var err error
	d.port, err = nic.NewPort(d, nic.Config{
		Name: c.Name, Link: c.Link, LinkDown: c.LinkDown, In: c.In, Out: c.Out, Poll: roomPoll, Log: c.Log,
	})
	if err != nil {
		return nil, err
	}
	if err := d.describe(&c); err != nil {
		return nil, errors.Join(err, d.port.Close())
	}
	d.port.Start()
	return d, nil
}

// describe makes the PCI function.
func (d *Device) describe(c *Config) error {
	const vendor, device, network = 0x15ad, 0x07b0, 0x020000
	f := pci.NewFunction(c.Name, pci.Identity{Vendor: vendor, Device: device, SubsystemVendor: vendor, Subsystem: device, Class: network, Revision: 1})
	d.function = f
	f.UseINTx(1)
	var bells []bus.Doorbell
	for i := range uint64(maxTxQueues) {
		bells = append(bells, bus.Doorbell{Addr: regTXPROD + regStride*i, Event: d.port.TransmitEvent()})
	}
	for i := range uint64(maxRxQueues) {
		bells = append(bells,
			bus.Doorbell{Addr: regRXPROD + regStride*i, Event: d.port.ReceiveEvent()}, bus.Doorbell{Addr: regRXPROD2 + regStride*i, Event: d.port.ReceiveEvent()})
	}
	if err := errors.Join(
		f.AddBAR(0, pci.Mem32, barSize, passThrough{d}, bells...),
		f.AddBAR(1, pci.Mem32, barSize, registers{d}),
		f.AddBAR(2, pci.Mem32, msixBARSize, nil),
	); err != nil {
		return err
	}
	var err error
	if d.msi, err = f.AddMSI(c.MSI, 1, pci.MSI64); err != nil {
		return err
	}
	d.msix, err = f.AddMSIX(c.MSI, vectors, 2, 0, msixPending)
	return err
}

// Function is what the guest sees on its bus.
func (d *Device) Function() *pci.Function { return d.function }

// SetLink plugs the cable in or pulls it out; the driver is told.
func (d *Device) SetLink(up bool) { d.port.SetLink(up) }

// LinkUp says whether frames flow.
func (d *Device) LinkUp() bool { return d.port.LinkUp() }

// LinkChanged implements nic.Card.
func (d *Device) LinkChanged() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.event(ecrLink)
}

// Close ends the workers and gives interrupts back. The guest runs no more.
func (d *Device) Close() error {
	err := d.port.Close()
	d.msi.Close()
	d.msix.Close()
	return err
}

// reset brings the card back to power-on: what a worker has in hand goes nowhere. d.mu is held.
func (d *Device) reset() {
	d.deactivate()
	d.mac = d.factory
	for i := range d.intr {
		d.intr[i] = interrupt{masked: true}
	}
	d.pin(false)
}

// deactivate stops all queues. d.mu is held.
func (d *Device) deactivate() {
	d.active, d.finished = false, 0
	d.generation++
	d.tx, d.rx, d.nextTx = nil, nil, 0
}
