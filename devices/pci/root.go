package pci

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/irq"
)

// Config says how a root complex is wired into its machine.
type Config struct {
	Memory, IO *bus.Bus // where BARs are decoded
	Buses      int      // how many ECAM reaches: 1 to 256

	// Lines are the interrupt inputs that INTx pins share, and Route picks one for a pin (1 to 4) of a function; nil is the usual
	// swizzle, (device + pin - 1) mod len(Lines). Without Lines pins go nowhere.
	Lines []irq.Line
	Route func(a Address, pin uint8) int

	// Reset answers port 0xCF9 (offset 0, one byte), which lies amid the ports of configuration space but belongs to
	// the LPC bridge. nil reads as ones.
	Reset bus.Device

	Log *slog.Logger // nil is silent
}

// Root is the root complex: bus 0 with the host bridge at 00:00.0, and what is behind its bridges.
type Root struct {
	cfg    Config
	wires  []*wire
	bridge *Function

	// ecam is where PlaceECAM has put configuration space; buses is 0 for nowhere.
	ecam struct {
		sync.Mutex
		base  uint64
		buses int
	}

	mu        sync.Mutex // guards all configuration space, the mapping of BARs, and:
	functions [256]*Function
	latch     uint32 // port 0xCF8
}

// HostBridge is the identity of the Q35 memory controller hub, which firmware and systems look for.
var HostBridge = Identity{Vendor: 0x8086, Device: 0x29c0, Class: 0x060000, SubsystemVendor: 0x1af4, Subsystem: 0x1100}

// NewRoot returns a root complex that holds bridge, or when that is nil a plain HostBridge.
func NewRoot(c Config, bridge *Function) (*Root, error) {
	if c.Buses < 1 || c.Buses > 256 {
		return nil, fmt.Errorf("pci: a root complex with %d buses", c.Buses)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if bridge == nil {
		bridge = NewFunction("host bridge", HostBridge)
	}
	r := &Root{cfg: c, bridge: bridge}
	for _, l := range c.Lines {
		r.wires = append(r.wires, &wire{line: l})
	}
	return r, r.Plug(Address{}, bridge)
}

// Plug puts f at addr, on bus 0. A device with several functions needs one at function 0.
func (r *Root) Plug(addr Address, f *Function) error { return r.plug(nil, addr, f) }

// PlugBehind puts f on the bus behind a bridge that is plugged already; the bus of addr is 0. A root port has room for device 0 alone.
func (r *Root) PlugBehind(b Bridge, addr Address, f *Function) error {
	return r.plug(b.Function, addr, f)
}

func (r *Root) plug(above *Function, addr Address, f *Function) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if addr.Bus != 0 || addr.Device > 31 || addr.Function > 7 {
		return fmt.Errorf("pci: %s: there is no slot %v", f.name, addr)
	}
	level := r.level(above)
	switch taken := level(addr.slot()); {
	case above != nil && above.root != r:
		return fmt.Errorf("pci: %s: %s is not plugged", f.name, above.name)
	case f.root != nil:
		return fmt.Errorf("pci: %s: already at %v", f.name, f.addr)
	case taken != nil:
		return fmt.Errorf("pci: %s: %v is taken by %s", f.name, addr, taken.name)
	}
	f.root, f.above, f.addr, f.log = r, above, addr, r.cfg.Log
	if f.msix != nil {
		f.msix.src.log = r.cfg.Log.With("function", f.name)
	}
	if f.msi != nil {
		f.msi.src.log = r.cfg.Log.With("function", f.name)
	}
	if pin := f.cfg[regIntPin]; pin != 0 && len(r.wires) > 0 {
		f.intx.line = r.wires[r.route(f, pin)]
	}
	if above == nil {
		r.functions[addr.slot()] = f
	} else {
		f.pluggedBehind(above)
		above.behind.functions = append(above.behind.functions, f)
	}
	f.initial = f.cfg
	if first := level(addr.slot() &^ 7); first != nil && siblings(level, addr.slot()) {
		first.cfg[regHeaderType] |= headerMultiFunction
		first.initial[regHeaderType] |= headerMultiFunction
	}
	return nil
}

// level looks up the slots of a bus: the one behind a bridge, or bus 0.
func (r *Root) level(above *Function) func(slot int) *Function {
	if above == nil {
		return func(slot int) *Function { return r.functions[slot] }
	}
	return above.behind.at
}

// siblings says whether the device at slot has functions besides 0.
func siblings(level func(slot int) *Function, slot int) bool {
	for i := 1; i < 8; i++ {
		if level(slot&^7+i) != nil {
			return true
		}
	}
	return false
}

// each calls fn for all functions.
func (r *Root) each(fn func(*Function)) {
	for _, f := range r.functions {
		if f != nil {
			f.each(fn)
		}
	}
}

// route is the wire of a pin. Behind bridges pins rotate by the device's number, and arrive on bus 0 as the bridge's.
func (r *Root) route(f *Function, pin uint8) int {
	for ; f.above != nil; f = f.above {
		pin = (pin-1+f.addr.Device)&3 + 1
	}
	n := int(f.addr.Device) + int(pin) - 1
	if r.cfg.Route != nil {
		n = r.cfg.Route(f.addr, pin)
	}
	return n % len(r.wires)
}

// Reset brings every function's configuration space back to power-on; BARs are unassigned then.
func (r *Root) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latch = 0
	r.each((*Function).reset)
}

// lookup returns the function at a bus and slot, or nil. Bridges claim the buses that the guest has given them.
func (r *Root) lookup(busNumber uint8, slot int) *Function {
	if busNumber == 0 {
		if f := r.functions[slot]; f != nil && !f.gone {
			return f
		}
		return nil
	}
	for _, f := range r.functions {
		if f != nil {
			if found := f.find(busNumber, slot); found != nil {
				return found
			}
		}
	}
	return nil
}

// readConfig fills p from one function's configuration space. It does not leave that space.
func (r *Root) readConfig(busNumber uint8, slot, off int, p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.lookup(busNumber, slot); f != nil {
		f.read(off, p)
		return
	}
	for i := range p {
		p[i] = 0xff
	}
}

// writeConfig stores p in one function's configuration space, in pieces that do not cross a register of 4 bytes.
func (r *Root) writeConfig(busNumber uint8, slot, off int, p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.lookup(busNumber, slot)
	if f == nil {
		return
	}
	for len(p) > 0 {
		n := min(4-off&3, len(p))
		f.write(off, p[:n])
		off, p = off+n, p[n:]
	}
}
