package net

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/queue"
)

// Config says what a network card is made of.
type Config struct {
	// Links are what the card is wired to, one for each pair of queues, 1 to 16. They stay owned by the caller, who closes
	// them after the device is no longer used.
	Links []network.Link
	// MAC is the card's address.
	MAC [6]byte
	// MTU is what the guest is told to use, 68 to 65535 bytes; 0 tells it nothing, which means 1500.
	MTU int
	// LinkDown starts the card with its cable unplugged; see [Device.SetLink].
	LinkDown bool
	// QueueSize is the size of each receive and transmit queue in descriptors, a power of two up to 1024; 0 means 256.
	QueueSize int
	// In and Out bound how fast frames go to the guest and leave it. What waits, waits in the links and in the guest's rings. nil is no
	// bound.
	In, Out *throttle.Gate
	// Log takes the failures of links; nil discards them.
	Log *slog.Logger
}

const (
	maxPairs         = 16
	maxQueueSize     = 1024
	defaultQueueSize = 256
	controlQueueSize = 64
	defaultMTU       = 1500
	vlanTagLen       = 4
)

// Device is a virtio network card. It implements [virtio.Device].
type Device struct {
	pairs     []*pair
	offloads  network.Offloads // that all links have
	factory   [6]byte          // the MAC address after a reset
	mtu       int              // 0: not stated
	queueSize int
	log       *slog.Logger
	stats     stats

	active  atomic.Pointer[virtio.Activation] // nil while inactive
	carrier atomic.Bool                       // frames flow: the cable is plugged in and its links work
	largest atomic.Int64                      // bytes of the largest frame that the links may deliver

	// Used by the transport's calls, and by the worker of the control queue, which those calls stop first.
	control  virtio.Workers
	command  queue.Chain
	running  int    // pairs in use, the driver's choice
	accepts  uint64 // the features of guestOffloadFeatures in force, the driver's choice
	restored bool   // running and accepts come from the snapshot of an active device

	mu       sync.Mutex // guards what follows
	mac      [6]byte
	plugged  bool // as SetLink left it
	failed   bool // a link has failed for good
	announce bool // the driver is asked to announce itself to its network
}

// New returns a card on c.Links. Feed it to a transport.
func New(c Config) (*Device, error) {
	d := &Device{
		offloads: ^network.Offloads(0), factory: c.MAC, mtu: c.MTU, queueSize: c.QueueSize, log: c.Log, plugged: !c.LinkDown,
	}
	if d.queueSize == 0 {
		d.queueSize = defaultQueueSize
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	switch {
	case len(c.Links) < 1 || len(c.Links) > maxPairs:
		return nil, fmt.Errorf("virtio-net: %d links, must be 1 to %d", len(c.Links), maxPairs)
	case d.queueSize < 2 || d.queueSize > maxQueueSize || d.queueSize&(d.queueSize-1) != 0:
		return nil, fmt.Errorf("virtio-net: queue size %d is not a power of two from 2 to %d", d.queueSize, maxQueueSize)
	case c.MTU != 0 && (c.MTU < 68 || c.MTU > 65535):
		return nil, fmt.Errorf("virtio-net: MTU of %d bytes, must be 68 to 65535", c.MTU)
	case c.MAC[0]&1 != 0:
		return nil, fmt.Errorf("virtio-net: %x is a multicast address", c.MAC)
	}
	for i, link := range c.Links {
		d.pairs = append(d.pairs, newPair(d, i, link, &c))
		d.offloads &= link.Offloads()
	}
	d.carrier.Store(d.plugged)
	d.powerOn()
	return d, nil
}

// powerOn puts what the driver can change back to its first value.
func (d *Device) powerOn() {
	d.running, d.accepts, d.restored = 1, 0, false
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mac, d.announce = d.factory, false
}

// Type is virtio.TypeNet.
func (d *Device) Type() uint16 { return virtio.TypeNet }

// QueueSizes is receive and transmit queue of each pair, then the control queue.
func (d *Device) QueueSizes() []uint16 {
	var sizes []uint16
	for range d.pairs {
		sizes = append(sizes, uint16(d.queueSize), uint16(d.queueSize))
	}
	return append(sizes, controlQueueSize)
}

// controlIndex is the number of the control queue, which follows the pairs that the driver knows of (virtio 1.2, section 5.1.2).
func (d *Device) controlIndex(a *virtio.Activation) int {
	if a.Has(featureMultiQueue) {
		return 2 * len(d.pairs)
	}
	return 2
}

// Activate starts the workers.
func (d *Device) Activate(a *virtio.Activation) error {
	if !d.restored {
		d.accepts = a.Features & guestOffloadFeatures
	}
	if unknown := d.accepts &^ a.Features; unknown != 0 {
		return fmt.Errorf("virtio-net: offloads %#x are in force without being negotiated", unknown)
	}
	pairs := 1
	if a.Has(featureMultiQueue) {
		pairs = len(d.pairs)
	}
	if d.running > pairs {
		return fmt.Errorf("virtio-net: %d pairs of queues are in use, of %d", d.running, pairs)
	}
	for _, p := range d.pairs[:pairs] {
		p.rx.q, p.tx.q = a.Queues[2*p.index], a.Queues[2*p.index+1]
	}
	if p := d.pairs[0]; p.rx.q == nil || p.tx.q == nil {
		return errors.New("virtio-net: the first receive or transmit queue is not enabled")
	}
	if err := d.setGuestOffloads(d.accepts); err != nil {
		return err
	}
	d.active.Store(a)
	d.start()
	return nil
}

// start sets the pairs in use and the control queue to work.
func (d *Device) start() {
	a := d.active.Load()
	for _, p := range d.pairs[:d.running] {
		p.start(a)
	}
	if !a.Has(featureCtrlQueue) {
		return
	}
	if q := a.Queues[d.controlIndex(a)]; q != nil {
		d.control.Serve(a, q, d.handleControl)
	}
}

// Pause stops the workers. Frames wait in the links and in the driver's rings.
func (d *Device) Pause() {
	d.control.Stop()
	for _, p := range d.pairs {
		p.stop()
	}
}

// Resume goes on after Pause.
func (d *Device) Resume() {
	if d.active.Load() != nil {
		d.start()
	}
}

// Deactivate stops the device. The links stay up.
func (d *Device) Deactivate() {
	d.Pause()
	d.active.Store(nil)
	for _, p := range d.pairs {
		p.rx.q, p.tx.q = nil, nil
	}
	d.powerOn()
	if err := d.setGuestOffloads(0); err != nil {
		d.linkFailed(err)
	}
}

// setGuestOffloads makes the links hand out only what a driver with the given features copes with.
func (d *Device) setGuestOffloads(features uint64) error {
	for _, p := range d.pairs {
		if err := p.link.SetGuestOffloads(guestOffloads(features)); err != nil {
			return fmt.Errorf("virtio-net: set the offloads of link %d: %w", p.index, err)
		}
	}
	largest := network.HeaderLen + network.EthernetHeaderLen + vlanTagLen + max(d.mtu, defaultMTU)
	if guestOffloads(features)&^network.OffloadChecksum != 0 {
		largest = network.MaxFrame
	}
	d.largest.Store(int64(largest))
	return nil
}
