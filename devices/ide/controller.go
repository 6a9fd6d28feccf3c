package ide

import (
	"fmt"
	"log/slog"

	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/state"
)

// Identity is that of the PIIX4, with the subsystem that VMware gives it.
var Identity = pci.Identity{Vendor: 0x8086, Device: 0x7111, SubsystemVendor: 0x15ad, Subsystem: 0x1976, Class: 0x010180, Revision: 1}

// Legacy resources of a channel: the first of CommandSize ports, the control port, and the ISA interrupt.
type Legacy struct{ Command, Control, IRQ int }

// CommandSize is how many ports a channel has from Legacy.Command.
const CommandSize = 8

// Channels are the resources of the primary and the secondary channel.
var Channels = [2]Legacy{{0x1f0, 0x3f6, 14}, {0x170, 0x376, 15}}

// Drives is how many drives a channel has.
const Drives = 2

// Config says what a controller is made of.
type Config struct {
	Memory *memory.Guest
	Lines  [2]irq.Line           // the channels' interrupts
	Drives [2][Drives]ata.Device // nil where there is none
	Log    *slog.Logger          // nil discards
}

// Controller is the function with its channels.
type Controller struct {
	fn       *pci.Function
	channels [2]*channel
}

// Configuration space: timing and enabling of the channels (82371AB, section 2.3.9 and after).
const (
	regTiming = 0x40
	decodeOn  = 0x80 // in the upper byte of a channel's
)

// busMasterSize is the length of the bus master registers, half of them for each channel.
const busMasterSize = 16

// New returns a controller. Its channels decode from the start, as firmware leaves them.
func New(c Config) (*Controller, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	k := &Controller{fn: pci.NewFunction("IDE", Identity)}
	timing := make([]byte, 0x10)
	timing[1], timing[3] = decodeOn, decodeOn
	may := make([]byte, len(timing))
	for i := range may {
		may[i] = 0xff
	}
	if err := k.fn.AddRegister(regTiming, timing, may); err != nil {
		return nil, err
	}
	for i := range k.channels {
		k.channels[i] = newChannel(fmt.Sprintf("ide%d", i), c.Memory, c.Lines[i], c.Drives[i], c.Log)
	}
	return k, k.fn.AddBAR(4, pci.IO, busMasterSize, busMaster{k})
}

// Function is the PCI function, to be plugged.
func (k *Controller) Function() *pci.Function { return k.fn }

// Command is the device of channel i's command ports.
func (k *Controller) Command(i int) bus.Device { return commandPorts{k.channels[i]} }

// Control is the device of channel i's control port.
func (k *Controller) Control(i int) bus.Device { return controlPort{k.channels[i]} }

// Pause implements state.Device.
func (k *Controller) Pause() {
	for _, ch := range k.channels {
		ch.pause()
	}
}

// Resume implements state.Device.
func (k *Controller) Resume() {
	for _, ch := range k.channels {
		ch.resume()
	}
}

// Close ends the workers.
func (k *Controller) Close() error {
	k.Pause()
	return nil
}

const (
	stateName    = "piix4-ide"
	stateVersion = 1
)

// Save implements state.Device.
func (k *Controller) Save(w *state.Writer) {
	w.Version(stateName, stateVersion)
	for _, ch := range k.channels {
		ch.save(w)
	}
	k.fn.Save(w)
}

// Restore implements state.Device.
func (k *Controller) Restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	for _, ch := range k.channels {
		if ch.restore(r); r.Err() != nil {
			return r.Err()
		}
	}
	return k.fn.Restore(r)
}
