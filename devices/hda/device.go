package hda

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sharevm/vmm/audio"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
)

// Config says what a controller is made of.
type Config struct {
	// Name is for messages.
	Name   string
	Memory *memory.Guest
	MSI    irq.MSIAllocator
	// Output is what the codec plays on. It stays owned by the caller, who closes it after the device is no longer used.
	Output audio.Backend
	// Clock is what samples move by; nil is the host's.
	Clock clock.Clock
	// Log takes failures; nil discards them.
	Log *slog.Logger
}

// Device is a controller with its codec.
type Device struct {
	name     string
	mem      *memory.Guest
	function *pci.Function
	msi      *pci.MSI
	clock    clock.Clock
	timer    clock.Timer
	log      *slog.Logger

	mu        sync.Mutex // guards what follows
	regs      [regsEnd]byte
	codec     codec
	streams   [streams]stream
	player    player
	signalled uint32        // causes that a message was sent for
	asserted  bool          // the pin is
	age       time.Duration // of the controller, up to resumed
	resumed   time.Time     // zero while paused
	wallZero  time.Duration // when WALCLK was zero
	closed    bool
}

// Identity of the function, and where its power state is: see describe.
const (
	vendor, device = 0x15ad, 0x1977
	classHDA       = 0x040300
	capPower       = 1
)

// New returns a controller in reset.
func New(c Config) (*Device, error) {
	if c.Memory == nil || c.Output == nil || c.MSI == nil {
		return nil, errors.New("hda: no memory, no interrupts or no output")
	}
	d := &Device{name: c.Name, mem: c.Memory, clock: c.Clock, log: c.Log}
	if d.clock == nil {
		d.clock = clock.Host
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.player.to = c.Output
	if err := d.describe(c.MSI); err != nil {
		return nil, err
	}
	d.resumed = d.clock.Now()
	d.timer = d.clock.NewTimer(d.tick)
	d.reset()
	return d, nil
}

// describe makes the PCI function.
func (d *Device) describe(msi irq.MSIAllocator) (err error) {
	f := pci.NewFunction(d.name, pci.Identity{
		Vendor: vendor, Device: device, SubsystemVendor: vendor, Subsystem: device, Class: classHDA, Revision: 9,
	})
	f.UseINTx(1)
	if err := f.AddBAR(0, pci.Mem64, barSize, window{d}); err != nil {
		return err
	}
	// Drivers clear bits 0 to 2 of byte 44h, where many controllers have a traffic class. Here that is the power state, which D0 suits; the
	// address of MSI would suffer.
	if _, err := f.AddCapability(capPower, []byte{2, 0, 8, 0, 0, 0}, []byte{0, 0, 3}); err != nil {
		return err
	}
	d.function = f
	d.msi, err = f.AddMSI(msi, 1, pci.MSI64)
	return err
}

// Function is what the guest sees on its bus.
func (d *Device) Function() *pci.Function { return d.function }

// Close ends the sound and gives the interrupt back. The guest runs no more.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.timer.Stop()
	d.player.stop()
	d.msi.Close()
	return nil
}

// reset is what a link in reset does to controller and codec (section 4.2.2). What woke the link and may wake it stays. d.mu is held, or nobody
// else knows the device yet.
func (d *Device) reset() {
	keep := [4]byte(d.regs[regWAKEEN:])
	clear(d.regs[:])
	copy(d.regs[regWAKEEN:], keep[:])
	d.set16(regGCAP, gcapValue)
	d.regs[regVMAJ] = 1
	d.set16(regOUTPAY, 0x3c)
	d.set16(regINPAY, 0x1d)
	d.regs[regCORBSIZE], d.regs[regRIRBSIZE] = ringSize, ringSize
	for i := range d.streams {
		d.resetStream(i)
	}
	d.codec.reset()
	d.codec.subsystem = codecIdentity
	d.codec.config = pinConfig
	d.wallZero = d.running()
	d.interrupt()
}

// running is how long the guest has run.
func (d *Device) running() time.Duration {
	if d.resumed.IsZero() {
		return d.age
	}
	return d.age + d.clock.Now().Sub(d.resumed)
}

func (d *Device) get16(at int) uint16    { return binary.LittleEndian.Uint16(d.regs[at:]) }
func (d *Device) get32(at int) uint32    { return binary.LittleEndian.Uint32(d.regs[at:]) }
func (d *Device) get64(at int) uint64    { return binary.LittleEndian.Uint64(d.regs[at:]) }
func (d *Device) set16(at int, v uint16) { binary.LittleEndian.PutUint16(d.regs[at:], v) }
func (d *Device) set32(at int, v uint32) { binary.LittleEndian.PutUint32(d.regs[at:], v) }
