package virtiotest

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/transport"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/memory"
)

// The fake machine.
const (
	RAMSize    = 64 << 20    // bytes of RAM, from address 0
	ECAMBase   = 0xb000_0000 // configuration space of one bus
	BARBase    = 0xc000_0000 // where Probe puts the device's BAR
	PortBase   = 0xc000      // where Probe puts the doorbells that are ports
	msiAddress = 0xfee0_0000

	// ConfigVector is the message data of configuration change interrupts; queue i sends i+1.
	ConfigVector = 0
	// patience bounds every wait: reaching it is a failure of the device, never a result.
	patience = 20 * time.Second
)

// Slot is where the device is plugged.
var Slot = pci.Address{Device: 3}

// Driver is a guest's driver of one device.
type Driver struct {
	T          testing.TB
	Transport  *transport.Transport
	Memory     *memory.Guest
	Root       *pci.Root
	MMIO       *bus.Bus
	Ports      *bus.Bus
	Interrupts *Interrupts
	Queues     []*Queue // after Start or SetupQueue; nil where not set up
	Features   uint64   // as negotiated

	heap    heap
	regions map[uint8]uint64 // address of each structure, by type of its capability
	onPorts bool             // the transport may have doorbells that are ports
	ports   bool             // the doorbells are ports
}

// Types of the structures, for Address (virtio 1.2, section 4.1.4).
const (
	Common = 1
	Notify = 2
	ISR    = 3
	Device = 4
)

// New plugs dev into a fresh machine, finds it as a guest's system would, enables it and its MSI-X vectors, and closes
// it when the test ends.
func New(t testing.TB, dev virtio.Device) *Driver {
	t.Helper()
	return newDriver(t, dev, false)
}

// NewOnPorts is New with doorbells that are ports.
func NewOnPorts(t testing.TB, dev virtio.Device) *Driver {
	t.Helper()
	return newDriver(t, dev, true)
}

func newDriver(t testing.TB, dev virtio.Device, onPorts bool) *Driver {
	t.Helper()
	d := &Driver{T: t, Memory: newRAM(t), Interrupts: NewInterrupts(), heap: heap{next: 0x10000, end: RAMSize}, onPorts: onPorts}
	d.attach(dev)
	t.Cleanup(d.detach)
	d.Probe()
	return d
}

// attach builds buses, root and transport around dev.
func (d *Driver) attach(dev virtio.Device) {
	d.T.Helper()
	var err error
	d.MMIO, d.Ports = bus.New("memory", nil), bus.New("port", nil)
	d.Root, err = pci.NewRoot(pci.Config{Memory: d.MMIO, IO: d.Ports, Buses: 1}, nil)
	if err != nil {
		d.T.Fatal(err)
	}
	ecam, size := d.Root.ECAM()
	if err := d.MMIO.Map(ECAMBase, size, ecam); err != nil {
		d.T.Fatal(err)
	}
	t, err := transport.New(dev, transport.Config{Name: "device under test", Memory: d.Memory, MSI: d.Interrupts, Ports: d.onPorts})
	if err != nil {
		d.T.Fatal(err)
	}
	if err := d.Root.Plug(Slot, t.Function()); err != nil {
		d.T.Fatal(err)
	}
	d.Transport = t
}

func (d *Driver) detach() {
	d.T.Helper()
	if err := d.Transport.Close(); err != nil {
		d.T.Errorf("close: %v", err)
	}
}

// Probe does what a guest's firmware and system do before a driver: it places the BARs, enables the device, walks its
// capabilities, and points each MSI-X vector at its channel. It may be repeated.
func (d *Driver) Probe() {
	d.T.Helper()
	d.MoveBAR(BARBase)
	d.regions = map[uint8]uint64{}
	for at := d.Config(0x34, 1); at != 0; at = d.Config(int(at)+1, 1) {
		switch d.Config(int(at), 1) {
		case pci.CapVendor:
			kind, bar := uint8(d.Config(int(at)+3, 1)), d.Config(int(at)+4, 1)
			if _, seen := d.regions[kind]; seen {
				continue
			}
			base := uint64(BARBase)
			if bar == 1 {
				base = PortBase
			}
			d.regions[kind] = base + d.Config(int(at)+8, 4)
			if kind == Notify {
				d.ports = bar == 1
			}
		case pci.CapMSIX:
			d.SetConfig(int(at)+2, 2, 1<<15)
			table := BARBase + d.Config(int(at)+4, 4)&^7
			for v := range d.Config(int(at)+2, 2)&0x7ff + 1 {
				entry := table + 16*v
				d.Write(entry, 8, msiAddress)
				d.Write(entry+8, 4, v)
				d.Write(entry+12, 4, 0)
			}
		}
	}
}

// MoveBAR places the device's BAR as a system does, and enables decoding and bus mastering.
func (d *Driver) MoveBAR(to uint64) {
	old := d.Config(0x10, 4) &^ 0xf
	d.SetConfig(4, 2, 0)
	d.SetConfig(0x10, 4, 0xffffffff)
	d.SetConfig(0x10, 4, to)
	d.SetConfig(0x14, 4, PortBase) // if it has ports
	d.SetConfig(4, 2, 7)
	for kind := range d.regions {
		if kind != Notify || !d.ports {
			d.regions[kind] += to - old
		}
	}
}

// Config reads width bytes of the device's PCI configuration space.
func (d *Driver) Config(off, width int) uint64 {
	return d.Read(d.configAddress(off), width)
}

// SetConfig writes width bytes of the device's PCI configuration space.
func (d *Driver) SetConfig(off, width int, v uint64) {
	d.Write(d.configAddress(off), width, v)
}

func (d *Driver) configAddress(off int) uint64 {
	return ECAMBase + uint64(Slot.Device)<<15 + uint64(off)
}

// Read loads width bytes from an address outside RAM.
func (d *Driver) Read(addr uint64, width int) uint64 {
	var b [8]byte
	d.MMIO.Read(addr, b[:width])
	return binary.LittleEndian.Uint64(b[:])
}

// Write stores width bytes at an address outside RAM.
func (d *Driver) Write(addr uint64, width int, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	d.MMIO.Write(addr, b[:width])
}

// Ring stores width bytes to the doorbells, at off from the first.
func (d *Driver) Ring(off uint64, width int, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	d.bells().Write(d.regions[Notify]+off, b[:width])
}

// bells is the bus that the doorbells are on.
func (d *Driver) bells() *bus.Bus {
	if d.ports {
		return d.Ports
	}
	return d.MMIO
}

// Address returns where a structure of the transport lies.
func (d *Driver) Address(structure uint8) uint64 { return d.regions[structure] }

// Common reads a register of the common configuration.
func (d *Driver) Common(off, width int) uint64 { return d.Read(d.regions[Common]+uint64(off), width) }

// SetCommon writes a register of the common configuration.
func (d *Driver) SetCommon(off, width int, v uint64) {
	d.Write(d.regions[Common]+uint64(off), width, v)
}

// Status reads the device status.
func (d *Driver) Status() uint8 { return uint8(d.Common(0x14, 1)) }

// SetStatus adds bits to the device status and says whether they are set then.
func (d *Driver) SetStatus(bits uint8) bool {
	d.SetCommon(0x14, 1, uint64(d.Status()|bits))
	return d.Status()&bits == bits
}

// NeedsReset says whether the device has given up.
func (d *Driver) NeedsReset() bool { return d.Status()&virtio.StatusNeedsReset != 0 }

// Offered reads the device's features.
func (d *Driver) Offered() (f uint64) {
	for i := range uint64(2) {
		d.SetCommon(0, 4, i)
		f |= d.Common(4, 4) << (32 * i)
	}
	return f
}

// Reset resets the device and forgets the queues.
func (d *Driver) Reset() {
	d.SetCommon(0x14, 1, 0)
	d.Queues = nil
	d.Features = 0
}

// Negotiate resets the device and goes as far as FEATURES_OK, with those of the wanted features that are offered,
// which it returns. VERSION_1 is always wanted.
func (d *Driver) Negotiate(wanted uint64) uint64 {
	d.T.Helper()
	d.Reset()
	d.SetStatus(virtio.StatusAcknowledge)
	d.SetStatus(virtio.StatusDriver)
	d.Features = d.Offered() & (wanted | virtio.FeatureVersion1)
	for i := range uint64(2) {
		d.SetCommon(8, 4, i)
		d.SetCommon(0xc, 4, d.Features>>(32*i)&0xffffffff)
	}
	if !d.SetStatus(virtio.StatusFeaturesOK) {
		d.T.Fatalf("the device refuses features %#x", d.Features)
	}
	d.SetCommon(0x10, 2, ConfigVector)
	d.Queues = make([]*Queue, d.Common(0x12, 2))
	return d.Features
}

// DriverOK tells the device to start.
func (d *Driver) DriverOK() { d.SetStatus(virtio.StatusDriverOK) }

// Start does all of it: negotiation, every queue at its largest size, DRIVER_OK.
func (d *Driver) Start(wanted uint64) {
	d.T.Helper()
	d.Negotiate(wanted)
	for i := range d.Queues {
		d.SetupQueue(i, 0)
	}
	d.DriverOK()
	if d.NeedsReset() {
		d.T.Fatal("the device needs a reset right after DRIVER_OK")
	}
}

// AwaitReset waits until the device has given up.
func (d *Driver) AwaitReset() {
	d.T.Helper()
	timeout := time.After(patience)
	for !d.NeedsReset() {
		select {
		case <-d.Interrupts.Channel(ConfigVector):
		case <-timeout:
			d.T.Fatal("the device has not asked for a reset")
		}
	}
}

// AwaitConfigChange waits for a configuration change interrupt.
func (d *Driver) AwaitConfigChange() {
	d.T.Helper()
	select {
	case <-d.Interrupts.Channel(ConfigVector):
	case <-time.After(patience):
		d.T.Fatal("no configuration change")
	}
}

// DeviceConfig reads n bytes at off of the device-specific configuration.
func (d *Driver) DeviceConfig(off, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(d.Read(d.regions[Device]+uint64(off+i), 1))
	}
	return p
}

// SetDeviceConfig writes the device-specific configuration at off, byte by byte.
func (d *Driver) SetDeviceConfig(off int, p []byte) {
	for i, v := range p {
		d.Write(d.regions[Device]+uint64(off+i), 1, uint64(v))
	}
}

// Alloc returns the address of n bytes of RAM, aligned to the next power of two of n, at least 16 and at most a page.
func (d *Driver) Alloc(n int) uint64 { return d.heap.alloc(d.T, n) }

// Free gives back what Alloc(n) returned.
func (d *Driver) Free(addr uint64, n int) { d.heap.release(addr, n) }

// RAM returns n bytes of RAM at addr.
func (d *Driver) RAM(addr uint64, n int) []byte {
	d.T.Helper()
	s, err := d.Memory.Slice(addr, uint64(n))
	if err != nil {
		d.T.Fatal(err)
	}
	return s
}
