package ahci

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/state"
)

// Identity is that of VMware's adapter. Its class says AHCI 1.0, as that of every AHCI adapter.
var Identity = pci.Identity{Vendor: 0x15ad, Device: 0x07e0, SubsystemVendor: 0x15ad, Subsystem: 0x07e0, Class: 0x010601}

const (
	// MaxPorts is the most ports that an adapter has.
	MaxPorts = 30
	// Slots is how many commands a port has.
	Slots = 32
	// barSize holds the registers of MaxPorts ports.
	barSize = portsAt + MaxPorts*portSize
)

// Config says what an adapter is made of.
type Config struct {
	// Name is for messages: "sata0".
	Name   string
	Memory *memory.Guest
	// MSI is where the adapter gets its message-signalled interrupt.
	MSI irq.MSIAllocator
	// Drives are what hangs on the ports, 1 to MaxPorts of them; nil is a port without a drive.
	Drives []ata.Device
	Log    *slog.Logger // nil discards
}

// Controller is an adapter.
type Controller struct {
	fn    *pci.Function
	msi   *pci.MSI
	ports []*port

	mu        sync.Mutex // taken after a port's
	interrupt bool       // GHC.IE
	status    uint32     // IS
	resetting int        // ports that have not come back from an HBA reset
}

// New returns an adapter.
func New(c Config) (*Controller, error) {
	if n := len(c.Drives); n < 1 || n > MaxPorts {
		return nil, fmt.Errorf("AHCI: %d ports, must be 1 to %d", n, MaxPorts)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	k := &Controller{fn: pci.NewFunction(c.Name, Identity)}
	for i, d := range c.Drives {
		k.ports = append(k.ports, newPort(k, fmt.Sprintf("%s:%d", c.Name, i), i, c.Memory, d, c.Log))
	}
	k.fn.UseINTx(1)
	var err error
	if k.msi, err = k.fn.AddMSI(c.MSI, 1, pci.MSI64); err != nil {
		return nil, err
	}
	return k, k.fn.AddBAR(5, pci.Mem32, barSize, registers{k})
}

// Function is the PCI function, to be plugged.
func (k *Controller) Function() *pci.Function { return k.fn }

// raise makes IS bit i follow its port, which has something to tell or not, and interrupts the guest. The port is locked.
func (k *Controller) raise(i int, pending bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	bit := uint32(1) << i
	if !pending {
		return // IS is cleared by the guest only
	}
	news := k.status&bit == 0
	k.status |= bit
	k.signal(news)
}

// signal drives the pin, and sends the message where there is news. mu is held.
func (k *Controller) signal(news bool) {
	on := k.interrupt && k.status != 0
	if k.msi.Enabled() {
		k.fn.SetINTx(false)
		if on && news {
			k.msi.Fire(0)
		}
		return
	}
	k.fn.SetINTx(on)
}

// acknowledge is a write to IS. What ports still have to tell comes up again.
func (k *Controller) acknowledge(bits uint32) {
	k.mu.Lock()
	k.status &^= bits
	k.signal(k.status != 0)
	k.mu.Unlock()
	for i, p := range k.ports {
		if bits>>i&1 != 0 {
			p.repeat()
		}
	}
}

// control is a write to GHC.
func (k *Controller) control(v uint32) {
	if v&controlReset != 0 {
		k.reset()
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.interrupt
	k.interrupt = v&controlInterrupt != 0
	k.signal(k.interrupt && !was)
}

// reset is an HBA reset (section 10.4.3), which is over when no port has a command under way.
func (k *Controller) reset() {
	k.mu.Lock()
	if k.resetting > 0 {
		k.mu.Unlock()
		return
	}
	k.resetting = len(k.ports)
	k.interrupt, k.status = false, 0
	k.signal(false)
	k.mu.Unlock()
	for _, p := range k.ports {
		p.hostReset()
	}
}

// portIsBack is called by each port once after a reset.
func (k *Controller) portIsBack() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.resetting = max(k.resetting-1, 0)
}

// Pause implements state.Device.
func (k *Controller) Pause() {
	for _, p := range k.ports {
		p.pause()
	}
}

// Resume implements state.Device.
func (k *Controller) Resume() {
	for _, p := range k.ports {
		p.resume()
	}
}

// Close ends the executors and gives the interrupt back.
func (k *Controller) Close() error {
	k.Pause()
	k.msi.Close()
	return nil
}

const (
	stateName    = "ahci"
	stateVersion = 1
)

// Save implements state.Device.
func (k *Controller) Save(w *state.Writer) {
	w.Version(stateName, stateVersion)
	w.U8(uint8(len(k.ports)))
	for _, p := range k.ports {
		p.save(w)
	}
	k.mu.Lock()
	w.Bool(k.interrupt)
	w.U32(k.status)
	k.mu.Unlock()
	k.fn.Save(w)
}

// Restore implements state.Device.
func (k *Controller) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	if n := int(r.U8()); r.Err() == nil && n != len(k.ports) {
		r.Fail("the adapter had %d ports and now has %d", n, len(k.ports))
	}
	for _, p := range k.ports {
		if r.Err() == nil {
			p.restore(r)
		}
	}
	on, status := r.Bool(), r.U32()
	if r.Err() == nil && uint64(status)>>len(k.ports) != 0 {
		r.Fail("interrupts %#x of %d ports", status, len(k.ports))
	}
	if r.Err() != nil {
		return r.Err()
	}
	k.mu.Lock()
	k.interrupt, k.status = on, status
	k.mu.Unlock()
	return k.fn.Restore(r)
}
