package e1000

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
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
)

// Config says what a card is made of.
type Config struct {
	Model Model
	// Name is for messages.
	Name string
	// MAC is the address in the EEPROM.
	MAC [6]byte
	// Link is the cable. It stays owned by the caller, who closes it after the device is no longer used.
	Link network.Link
	// LinkDown starts with the cable unplugged; see Device.SetLink.
	LinkDown bool
	// In and Out bound how fast frames go to the guest and leave it; nil is no bound.
	In, Out *throttle.Gate
	Memory  *memory.Guest
	// MSI gives the vectors that an 82574L uses.
	MSI irq.MSIAllocator
	// Log takes failures; nil discards them.
	Log *slog.Logger
}

// Device is a network card.
type Device struct {
	model    *model
	name     string
	mem      *memory.Guest
	function *pci.Function
	msi      *pci.MSI  // nil on an 82545EM
	msix     *pci.MSIX // nil on an 82545EM
	port     *nic.Port
	log      *slog.Logger

	mu         sync.Mutex // guards what follows
	regs       [registers / 4]uint32
	icr        uint32
	signalled  uint32 // causes that a message was sent for
	asserted   bool   // the pin is
	eeprom     [eepromWords]uint16
	wire       microwire
	phy        [phyCount]uint16
	ioAddress  uint32
	age        time.Duration // of SYSTIM, up to resumed
	resumed    time.Time     // zero while paused
	moderators [msixVectors]*nic.Moderator
	tx         [2]transmitQueue
	nextTx     int
	finished   uint32 // causes that Flush raises

	// The transmitting worker's.
	bufs [][]byte
	done []uint64 // addresses of descriptors to write back
}

// New returns a card whose workers run already: they find nothing to do before the guest switches a queue on.
func New(c Config) (*Device, error) {
	m := models[c.Model]
	switch {
	case m == nil:
		return nil, fmt.Errorf("e1000: model %d", c.Model)
	case c.MAC[0]&1 != 0:
		return nil, fmt.Errorf("%s: %x is a multicast address", m.name, c.MAC)
	case c.Link == nil || c.Memory == nil:
		return nil, fmt.Errorf("%s: no link or no memory", m.name)
	}
	d := &Device{model: m, name: c.Name, mem: c.Memory, log: c.Log, resumed: time.Now()}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.eeprom = makeEEPROM(m, c.MAC)
	for i := range d.moderators {
		d.moderators[i] = nic.NewModerator(nil, d.wake)
	}
	var err error
	d.port, err = nic.NewPort(d, nic.Config{
		Name: c.Name, Link: c.Link, LinkDown: c.LinkDown, In: c.In, Out: c.Out, Log: c.Log,
	})
	if err != nil {
		return nil, err
	}
	if err := d.describe(&c); err != nil {
		return nil, errors.Join(err, d.port.Close())
	}
	d.resetPHY()
	d.reset()
	d.port.Start()
	return d, nil
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
	d.raise(icrLSC)
}

// linkUp says whether the MAC and PHY see a partner.
func (d *Device) linkUp() bool { return d.port.LinkUp() }

// Close ends the workers and gives interrupts back. The guest runs no more.
func (d *Device) Close() error {
	err := d.port.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.moderators {
		m.Stop()
	}
	if d.msix != nil {
		d.msi.Close()
		d.msix.Close()
	}
	return err
}

// reset brings the MAC back to power-on (82574 datasheet, section 4.2.1; 317453, section 14.5): what a worker has in hand goes nowhere. The
// PHY keeps its state. d.mu is held, or nobody else knows the device yet.
func (d *Device) reset() {
	clear(d.regs[:])
	d.icr, d.signalled, d.finished = 0, 0, 0
	d.wire = microwire{}
	for i := range d.tx {
		d.tx[i] = transmitQueue{generation: d.tx[i].generation + 1}
	}
	d.set(regCTRL, ctrlFullDuplex|ctrlSpeed1000|ctrlLinkUp)
	d.set(regVET, 0x8100)
	d.set(regFCAL, 0x00c28001)
	d.set(regFCAH, 0x0100)
	d.set(regFCT, 0x8808)
	d.set(regPBA, 0x00140014)
	d.set(regEEMNG, eemngDone)
	d.set(regTIMINCA, 0)
	e := &d.eeprom
	d.set(regRA, uint32(e[0])|uint32(e[1])<<16)
	d.set(regRA+4, uint32(e[2])|rahValid)
	d.intervals()
	d.interrupt()
}

// reg and set are the registers that are plain memory.
func (d *Device) reg(at uint64) uint32    { return d.regs[at/4] }
func (d *Device) set(at uint64, v uint32) { d.regs[at/4] = v }
func (d *Device) add(at uint64, n uint32) { d.regs[at/4] += n }

// addBytes counts octets in a register pair.
func (d *Device) addBytes(at uint64, n int) {
	v := uint64(d.reg(at)) | uint64(d.reg(at+4))<<32
	v += uint64(n)
	d.set(at, uint32(v))
	d.set(at+4, uint32(v>>32))
}
