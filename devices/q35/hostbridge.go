package q35

import (
	"encoding/binary"
	"log/slog"

	"github.com/sharevm/vmm/devices/pci"
)

// Registers of the memory controller hub.
const (
	regPCIEXBAR = 0x60 // where configuration space lies, 64 bits
	regPAM      = 0x90 // seven bytes: what C0000h to FFFFFh read and write
	regSMRAM    = 0x9D
	regTOM      = 0xA0 // all RAM, in 64 MiB
	regTOUUD    = 0xA2 // the end of RAM above 4 GiB, in MiB
	regTOLUD    = 0xB0 // the end of RAM below 4 GiB, in MiB, from bit 4 on

	pamFirst   = 0x30 // the first governs one area, F0000h to FFFFFh
	pamOthers  = 0x33
	pamCount   = 7
	smramLock  = 1<<4 | 2 // locked, closed
	exbarOn    = 1 << 0
	exbarSize  = 3 << 1
	exbarBits  = 0xF_FC00_0000 | exbarSize | exbarOn
	exbarWhole = 256 // buses with size 0; each step halves them

	mib   = 1 << 20
	mib64 = 64 * mib
)

// HostBridgeConfig says what the memory controller hub reports.
type HostBridgeConfig struct {
	LowRAM  uint64 // bytes of RAM below 4 GiB
	HighRAM uint64 // bytes from 4 GiB on
	ECAM    uint64 // where configuration space lies at power-on; 0 leaves it to firmware
	// Place moves configuration space; buses is 0 when it is nowhere. It is called with the root's lock held, and must not call the root's
	// methods but PlaceECAM.
	Place func(base uint64, buses int) error
	Log   *slog.Logger // nil is silent
}

// NewHostBridge returns the memory controller hub, for pci.NewRoot.
func NewHostBridge(c HostBridgeConfig) (*pci.Function, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	f := pci.NewFunction("host bridge", pci.HostBridge)
	le := binary.LittleEndian
	at := c.ECAM
	if at != 0 {
		at |= exbarOn
	}
	var tops [4]byte
	le.PutUint16(tops[0:], uint16(min((c.LowRAM+c.HighRAM)/mib64, 0xFFFF)))
	highEnd := uint64(4<<30) + c.HighRAM
	le.PutUint16(tops[2:], uint16(min(highEnd/mib, 0xFFFF)))
	for _, r := range []struct {
		off             int
		value, writable []byte
	}{
		{regPCIEXBAR, le.AppendUint64(nil, at), le.AppendUint64(nil, exbarBits)},
		{regPAM, make([]byte, pamCount), []byte{pamFirst, pamOthers, pamOthers, pamOthers, pamOthers, pamOthers, pamOthers}},
		{regSMRAM, []byte{smramLock}, nil},
		{regTOM, tops[:], nil},
		{regTOLUD, le.AppendUint16(nil, uint16(c.LowRAM/mib)<<4), nil},
	} {
		if err := f.AddRegister(r.off, r.value, r.writable); err != nil {
			return nil, err
		}
	}
	place := func(cfg []byte) {
		v := le.Uint64(cfg[regPCIEXBAR:])
		buses := 0
		if v&exbarOn != 0 {
			buses = exbarWhole >> (v & exbarSize >> 1)
		}
		// Bits below the size of the region are ignored, as are addresses that hold something else.
		if err := c.Place(v&exbarBits&^uint64(exbarSize|exbarOn)&^(uint64(buses)<<20-1), buses); err != nil {
			c.Log.Debug("configuration space is not mapped", "error", err)
		}
	}
	f.OnWrite(regPCIEXBAR, 8, place)
	f.OnLoad(place)
	return f, nil
}
