package pvscsi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/devices/scsi"
	"github.com/sharevm/vmm/internal/worker"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/event"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
)

// MaxTargets is how many devices an adapter can have.
const MaxTargets = 64

// Config says what an adapter is made of.
type Config struct {
	Name string // for messages
	// Targets are the devices by their addresses, 1 to MaxTargets of them, nil where there is none.
	Targets []*scsi.Target
	Memory  *memory.Guest
	MSI     irq.MSIAllocator
	Log     *slog.Logger // nil discards
}

// Device is an adapter. It implements state.Device.
type Device struct {
	name    string
	targets int
	mem     *memory.Guest
	log     *slog.Logger
	fn      *pci.Function
	msi     *pci.MSI
	msix    *pci.MSIX
	engine  *scsi.Engine
	kick    *event.Event // requests may have been stored
	workers worker.Group // the one that fetches them
	tasks   sync.WaitGroup

	mu       sync.Mutex
	command  command
	status   uint32 // of interrupts
	mask     uint32 // of interrupts; a one lets through
	rings    rings
	epoch    uint64 // counts resets and set-ups: what was begun before one is nobody's any more
	flying   int    // requests whose completion is to come
	aborting int    // abort commands among them that are under way
	starved  bool   // the request ring waits for a completion
	paused   bool
	spare    []*request

	started bool // the goroutines are at work; for those who pause and resume
}

// BAR layout: pages of registers, then the MSI-X structures.
const (
	barSize      = 0x8000
	msixTable    = 0x6000
	msixPending  = 0x7000
	regCommand   = 0x0000
	regData      = 0x0004
	regResult    = 0x0008
	regStatus    = 0x100c
	regMask      = 0x2010
	regKickOther = 0x3014
	regKickRW    = 0x4018

	intCompletion = 0x1
	intAll        = 0xf
)

// New returns an adapter in its power-on state.
func New(c Config) (*Device, error) {
	d := &Device{name: c.Name, targets: len(c.Targets), mem: c.Memory, log: c.Log}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.targets < 1 || d.targets > MaxTargets {
		return nil, fmt.Errorf("pvscsi: %s: %d addresses, must be 1 to %d", c.Name, d.targets, MaxTargets)
	}
	d.engine = scsi.NewEngine(scsi.EngineConfig{Targets: c.Targets, Done: d.done, Log: d.log})
	d.fn = pci.NewFunction(c.Name, pci.Identity{
		Vendor: 0x15ad, Device: 0x07c0, SubsystemVendor: 0x15ad, Subsystem: 0x07c0, Class: 0x010000, Revision: 2,
	})
	d.fn.UseINTx(1)
	var err error
	if d.kick, err = event.New(); err != nil {
		return nil, err
	}
	if err := d.describe(c.MSI); err != nil {
		return nil, errors.Join(err, d.kick.Close())
	}
	d.start()
	return d, nil
}

// describe gives the function its BAR, where firmware looks for it, and its interrupts.
func (d *Device) describe(alloc irq.MSIAllocator) error {
	err := d.fn.AddBAR(0, pci.Mem32, barSize, (*registers)(d),
		bus.Doorbell{Addr: regKickOther, Width: 4, Event: d.kick}, bus.Doorbell{Addr: regKickRW, Width: 4, Event: d.kick})
	if err != nil {
		return err
	}
	if d.msi, err = d.fn.AddMSI(alloc, 1, pci.MSI64); err != nil {
		return err
	}
	d.msix, err = d.fn.AddMSIX(alloc, 1, 0, msixTable, msixPending)
	return err
}

// Function is the adapter on the PCI bus.
func (d *Device) Function() *pci.Function { return d.fn }

// Close ends the adapter's goroutines, after what is under way.
func (d *Device) Close() error {
	d.Pause()
	d.msi.Close()
	d.msix.Close()
	return d.kick.Close()
}

// start sets the goroutines to work, unless they are.
func (d *Device) start() {
	if d.started {
		return
	}
	d.started = true
	d.engine.Start()
	d.workers.Go("requests", d.kick.Signal, d.work, func(err error) {
		d.log.Error("SCSI adapter stops", "adapter", d.name, "error", err)
	})
}

// work fetches requests when they are announced.
func (d *Device) work() error {
	for !d.workers.Stopping() {
		d.look()
		if err := d.kick.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// look fetches requests for the worker.
func (d *Device) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fetch()
}

// raise sets interrupt status bits and tells the driver. d.mu is held.
func (d *Device) raise(bits uint32) {
	d.status |= bits
	switch {
	case bits&d.mask == 0:
	case d.msix.Enabled():
		d.msix.Fire(0)
	case d.msi.Enabled():
		d.msi.Fire(0)
	default:
		d.fn.SetINTx(true)
	}
}

// pin makes the interrupt pin follow status and mask. d.mu is held.
func (d *Device) pin() {
	d.fn.SetINTx(d.status&d.mask != 0 && !d.msix.Enabled() && !d.msi.Enabled())
}

var le = binary.LittleEndian

// registers is the BAR's face of a Device.
type registers Device

// Read implements bus.Device.
func (g *registers) Read(off uint64, p []byte) {
	d := (*Device)(g)
	clear(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range [...]struct {
		at uint64
		v  uint32
	}{{regResult, d.command.result}, {regStatus, d.status}, {regMask, d.mask}} {
		for i := range p {
			if k := off + uint64(i) - r.at; k < 4 {
				p[i] = uint8(r.v >> (8 * k))
			}
		}
	}
}

// Write implements bus.Device. The registers take aligned words only.
func (g *registers) Write(off uint64, p []byte) {
	d := (*Device)(g)
	if len(p) != 4 || off%4 != 0 {
		return
	}
	v := le.Uint32(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch off {
	case regCommand:
		d.begin(v)
	case regData:
		d.data(v)
	case regStatus:
		d.status &^= v
		d.pin()
	case regMask:
		d.mask = v & intAll
		d.pin()
		d.raise(d.status) // what came while it was masked
	case regKickOther, regKickRW:
		d.kick.Signal()
	}
}
