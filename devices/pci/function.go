package pci

import (
	"encoding/binary"
	"fmt"
	"log/slog"
)

// Identity is what a function says it is.
type Identity struct {
	Vendor, Device             uint16
	SubsystemVendor, Subsystem uint16
	Class                      uint32 // 24 bits: class, subclass, programming interface
	Revision                   uint8
}

// Function is one function of a device: 4 KiB of configuration space and what it controls. The methods that describe
// it (Add..., On...) are for the time before Root.Plug.
type Function struct {
	name string
	addr Address
	root *Root // nil before Plug
	log  *slog.Logger

	above *Function // the bridge that it is behind, or nil

	// The rest is guarded by root.mu once plugged.
	gone     bool       // withdrawn
	behind   *secondary // the bus behind a bridge, or nil
	restart  func()     // of the device, when its bus is reset; may be nil
	cfg      [configSize]byte
	writable [configSize]byte // bits that a guest may change
	clears   [configSize]byte // bits that a guest clears by writing one
	initial  [configSize]byte // cfg at Plug, for Reset
	reads    []hook
	writes   []hook
	loads    []func(cfg []byte)
	bars     [6]*bar
	express  int // offset of the PCI Express capability, or 0
	lastCap  int // offset of the last capability, or 0
	freeCap  int // where the next one goes
	msix     *MSIX
	msi      *MSI
	intx     intx
}

// hook is called with the configuration space around accesses to part of it.
type hook struct {
	off, end int
	call     func(cfg []byte)
}

// NewFunction returns a function without BARs or capabilities. name is for messages.
func NewFunction(name string, id Identity) *Function {
	f := &Function{name: name, freeCap: firstCapability, log: slog.New(slog.DiscardHandler)}
	le := binary.LittleEndian
	le.PutUint16(f.cfg[regVendor:], id.Vendor)
	le.PutUint16(f.cfg[regDevice:], id.Device)
	le.PutUint32(f.cfg[regRevision:], uint32(id.Revision)|id.Class<<8)
	le.PutUint16(f.cfg[regSubVendor:], id.SubsystemVendor)
	le.PutUint16(f.cfg[regSubsystem:], id.Subsystem)
	le.PutUint16(f.writable[regCommand:], commandMaster|commandParity|commandSERR|commandNoINTx)
	f.writable[regCacheLine] = 0xff
	f.writable[regIntLine] = 0xff
	return f
}

// Name is what NewFunction was given.
func (f *Function) Name() string { return f.name }

// Address is where the function was plugged: device and function on the bus behind Above.
func (f *Function) Address() Address { return f.addr }

// Above is the bridge that the function is behind, or nil on bus 0.
func (f *Function) Above() *Function { return f.above }

// Withdraw takes a function of bus 0 away for good: its slot reads as an empty one, and its BARs decode nothing. It must not hold a bridge's bus.
func (f *Function) Withdraw() {
	f.root.mu.Lock()
	defer f.root.mu.Unlock()
	f.gone = true
	binary.LittleEndian.PutUint16(f.cfg[regCommand:], 0)
	f.headerChanged()
}

// AddRegister defines bytes of configuration space that have no other meaning to this package: value is what they hold, and
// writable has a one for each bit that a guest may change. It must lie outside the standard header and capabilities.
func (f *Function) AddRegister(off int, value, writable []byte) error {
	if off < firstCapability || off+len(value) > configSize || len(writable) > len(value) {
		return fmt.Errorf("pci: %s: register %#x+%d is out of place", f.name, off, len(value))
	}
	copy(f.cfg[off:], value)
	copy(f.writable[off:], writable)
	return nil
}

// UsesLegacyPorts says that the function answers ports that no BAR names, as a VGA does: a guest can set the I/O bit of its command register, by which
// firmware recognises the VGA to use.
func (f *Function) UsesLegacyPorts() { f.writable[regCommand] |= commandIO }

// BridgesISA says that the function answers the ports and addresses of devices behind it that no BAR names: its command register starts with all of that on. EFI
// firmware looks for a keyboard and serial ports behind such a bridge alone. A guest can clear the bits, which changes nothing else.
func (f *Function) BridgesISA() {
	const on = commandIO | commandMemory | commandMaster
	f.cfg[regCommand] |= on
	f.writable[regCommand] |= on
}

// OnWrite calls fn after a guest's write that touched any of the n bytes at off. fn gets the whole configuration space, which
// it may read and change during the call; it runs under the root's lock and must not call the Root or Function.
func (f *Function) OnWrite(off, n int, fn func(cfg []byte)) {
	f.writes = append(f.writes, hook{off, off + n, fn})
}

// OnRead calls fn before a guest's read of any of the n bytes at off. The rules are those of OnWrite.
func (f *Function) OnRead(off, n int, fn func(cfg []byte)) {
	f.reads = append(f.reads, hook{off, off + n, fn})
}

// OnLoad calls fn after a reset or a snapshot has replaced the registers. The rules are those of OnWrite.
func (f *Function) OnLoad(fn func(cfg []byte)) { f.loads = append(f.loads, fn) }

// loaded makes everything follow registers that were replaced.
func (f *Function) loaded() {
	if f.msi != nil {
		f.msi.follow(f.cfg[:])
	}
	if f.behind != nil {
		f.behind.held = f.cfg[regBridgeControl]&bridgeReset != 0
	}
	f.headerChanged()
	for _, fn := range f.loads {
		fn(f.cfg[:])
	}
}

func call(hooks []hook, off, n int, cfg []byte) {
	for i := range hooks {
		if h := &hooks[i]; off < h.end && h.off < off+n {
			h.call(cfg)
		}
	}
}

// read answers a configuration read of at most 8 bytes inside the space.
func (f *Function) read(off int, p []byte) {
	call(f.reads, off, len(p), f.cfg[:])
	copy(p, f.cfg[off:])
	if i := regStatus - off; i >= 0 && i < len(p) && f.intx.pending() {
		p[i] |= statusInterrupt
	}
	if f.msi != nil {
		f.msi.readPending(off, p)
	}
}

// write delivers a configuration write that does not cross a multiple of 4.
func (f *Function) write(off int, p []byte) {
	for i, v := range p {
		at := off + i
		keep, may := f.cfg[at], f.writable[at]
		f.cfg[at] = (keep&^may | v&may) &^ (v & f.clears[at])
	}
	if off < regBAR0+4*len(f.bars) || f.behind != nil && off < firstCapability {
		f.headerChanged()
	}
	if f.behind != nil && off <= regBridgeControl && regBridgeControl < off+len(p) {
		f.bridgeWritten()
	}
	if f.msix != nil && off&^3 == f.msix.cap {
		f.msix.control(f.cfg[f.msix.cap+msixControl:])
	}
	if f.msi != nil && off >= f.msi.cap && off < f.msi.end() {
		f.msi.follow(f.cfg[:])
	}
	call(f.writes, off, len(p), f.cfg[:])
}

// headerChanged makes decoding and INTx follow the command register and the BARs.
func (f *Function) headerChanged() {
	f.intx.disable(f.command()&commandNoINTx != 0)
	f.root.remap(f)
}

func (f *Function) command() uint16 { return binary.LittleEndian.Uint16(f.cfg[regCommand:]) }

// reset brings the configuration space back to what it was when the function was plugged.
func (f *Function) reset() {
	f.cfg = f.initial
	if f.msix != nil {
		f.msix.reset()
	}
	f.loaded()
}
