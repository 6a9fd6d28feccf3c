package q35

import (
	"encoding/binary"
	"log/slog"

	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/state"
)

// LPCIdentity is the ICH9's LPC bridge.
var LPCIdentity = pci.Identity{Vendor: 0x8086, Device: 0x2918, Class: 0x060100, Revision: 2, SubsystemVendor: 0x1af4, Subsystem: 0x1100}

// Registers of the LPC bridge.
const (
	regPMBASE    = 0x40
	regACPI      = 0x44
	regGPIO      = 0x48 // base and control: kept, there are no pins
	regPIRQ      = 0x60 // A to D; E to H four bytes further on
	regPIRQHigh  = 0x68
	regSerialIRQ = 0x64
	regDecode    = 0x80 // which serial ports and so on are on the LPC bus: kept, they are there
	regPower     = 0xA0 // GEN_PMCON: kept
	regFlash     = 0xD0 // decode and BIOS control: kept
	regRCBA      = 0xF0

	pmIO       = 1 // PMBASE is an I/O address
	pmBits     = 0xFF80
	acpiEnable = 1 << 7
	pirqBits   = 0x8F
	pirqOff    = 0x80
	rcbaBits   = 0xFFFFC000
	rcbaOn     = 1
	rcbaSize   = 0x4000
)

// LPCConfig wires the LPC bridge into its board.
type LPCConfig struct {
	IO     *bus.Bus
	Memory *bus.Bus
	PM     bus.Device // the PM block of PMSize ports
	PMBase uint16     // where it lies at power-on
	PMSize uint64
	Router *Router
	Log    *slog.Logger // nil is silent
}

// LPC is the LPC bridge. It is a state.Device.
type LPC struct {
	cfg LPCConfig
	f   *pci.Function

	// Guarded by the root's lock.
	pm   uint64 // where the PM block is mapped, or 0
	rcba uint64 // where the chipset's registers are mapped, or 0
}

// NewLPC returns the bridge, with the PM block mapped.
func NewLPC(c LPCConfig) (*LPC, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	l := &LPC{cfg: c, f: pci.NewFunction("LPC bridge", LPCIdentity)}
	l.f.BridgesISA()
	le := binary.LittleEndian
	off := []byte{pirqOff, pirqOff, pirqOff, pirqOff}
	routes := []byte{pirqBits, pirqBits, pirqBits, pirqBits}
	for _, r := range []struct {
		off             int
		value, writable []byte
	}{
		{regPMBASE, le.AppendUint32(nil, uint32(c.PMBase)|pmIO), le.AppendUint32(nil, pmBits)},
		{regACPI, []byte{acpiEnable}, []byte{acpiEnable}}, // the SCI stays at input 9
		{regGPIO, []byte{1, 0, 0, 0, 0}, []byte{0x80, 0xFF, 0, 0, 0x11}},
		{regPIRQ, off, routes},
		{regSerialIRQ, []byte{0x10}, []byte{0xFF}},
		{regPIRQHigh, off, routes},
		{regDecode, make([]byte, 20), ones(20)},
		{regPower, make([]byte, 6), []byte{0xFF, 0xFF, 0, 0, 0xFF, 0xFF}},
		{regFlash, make([]byte, 13), ones(13)},
		{regRCBA, make([]byte, 4), le.AppendUint32(nil, rcbaBits|rcbaOn)},
	} {
		if err := l.f.AddRegister(r.off, r.value, r.writable); err != nil {
			return nil, err
		}
	}
	l.f.OnWrite(regPMBASE, regACPI+1-regPMBASE, l.placePM)
	l.f.OnWrite(regRCBA, 4, l.placeRCBA)
	l.f.OnWrite(regPIRQ, regPIRQHigh+4-regPIRQ, l.wire)
	l.f.OnLoad(func(cfg []byte) {
		l.placePM(cfg)
		l.placeRCBA(cfg)
		l.wire(cfg)
	})
	l.pm = uint64(c.PMBase)
	return l, c.IO.Map(l.pm, c.PMSize, c.PM)
}

func ones(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 0xFF
	}
	return b
}

// Function is what sits at 00:1f.0.
func (l *LPC) Function() *pci.Function { return l.f }

func (l *LPC) placePM(cfg []byte) {
	var at uint64
	if cfg[regACPI]&acpiEnable != 0 {
		at = uint64(binary.LittleEndian.Uint16(cfg[regPMBASE:]) & pmBits)
	}
	l.move(l.cfg.IO, &l.pm, at, l.cfg.PMSize, l.cfg.PM)
}

func (l *LPC) placeRCBA(cfg []byte) {
	var at uint64
	if v := binary.LittleEndian.Uint32(cfg[regRCBA:]); v&rcbaOn != 0 {
		at = uint64(v & rcbaBits)
	}
	l.move(l.cfg.Memory, &l.rcba, at, rcbaSize, rcrb{})
}

// move maps dev at another address. Where something else is, it is nowhere.
func (l *LPC) move(space *bus.Bus, now *uint64, at, size uint64, dev bus.Device) {
	if *now == at {
		return
	}
	if *now != 0 {
		if err := space.Unmap(*now); err != nil {
			l.cfg.Log.Warn("chipset registers stay behind", "error", err)
		}
		*now = 0
	}
	if at == 0 {
		return
	}
	if err := space.Map(at, size, dev); err != nil {
		l.cfg.Log.Debug("chipset registers are not mapped", "error", err)
		return
	}
	*now = at
}

// wire tells the router where the guest sends the pins in PIC mode.
func (l *LPC) wire(cfg []byte) {
	var to [PIRQs]uint8
	copy(to[:4], cfg[regPIRQ:])
	copy(to[4:], cfg[regPIRQHigh:])
	l.cfg.Router.route(to)
}

// Pause implements state.Device.
func (l *LPC) Pause() {}

// Save implements state.Device.
func (l *LPC) Save(w *state.Writer) {
	w.Version("lpc", 1)
	l.f.Save(w)
}

// Restore implements state.Device.
func (l *LPC) Restore(r *state.Reader) error {
	r.Version("lpc", 1)
	return l.f.Restore(r)
}

// Resume implements state.Device.
func (l *LPC) Resume() {}

// rcrb is the block of chipset configuration registers: zeroes, but for the one that says that the watchdog cannot restart the board.
type rcrb struct{}

const (
	rcrbControl = 0x3410
	noReboot    = 1 << 5
)

// Read implements bus.Device.
func (rcrb) Read(offset uint64, p []byte) {
	for i := range p {
		p[i] = 0
		if offset+uint64(i) == rcrbControl {
			p[i] = noReboot
		}
	}
}

// Write implements bus.Device.
func (rcrb) Write(uint64, []byte) {}
