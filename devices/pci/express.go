package pci

import "encoding/binary"

// PortType is the kind of a PCI Express function (PCI Express Base 3.0, section 7.8.2).
type PortType uint8

// The kinds of functions. All but RootPort have nothing below them.
const (
	Endpoint           PortType = 0x0 // behind a root port
	LegacyEndpoint     PortType = 0x1
	RootPort           PortType = 0x4 // a Bridge
	IntegratedEndpoint PortType = 0x9 // on the root complex itself
)

// AddExpress makes the function a PCI Express one: a version 2 capability without optional features, and for an endpoint and a
// root port a 2.5 GT/s link of one lane. reset is called when a guest starts a function level reset, or resets the bus that the function is on; nil offers
// none.
func (f *Function) AddExpress(t PortType, reset func()) error {
	const (
		deviceCaps, deviceControl = 0x04, 0x08
		roleBasedErrors, flr      = 1 << 15, 1 << 28
		startFLR                  = 0x80 // high byte of device control
	)
	var body, writable [0x3a]byte // from offset 2 of the capability
	le := binary.LittleEndian
	le.PutUint16(body[0:], 2|uint16(t)<<4)
	caps := uint32(roleBasedErrors)
	if reset != nil {
		caps |= flr
	}
	le.PutUint32(body[deviceCaps-2:], caps)
	le.PutUint16(writable[deviceControl-2:], 0x7fff)
	at, err := f.AddCapability(CapExpress, body[:], writable[:])
	if err != nil {
		return err
	}
	f.express = at
	if t != IntegratedEndpoint {
		f.addLink()
	}
	if reset == nil {
		return nil
	}
	f.restart = reset
	// The bit reads as zero, so it is caught as one that stays for the time of the hook.
	f.writable[at+deviceControl+1] |= startFLR
	f.OnWrite(at+deviceControl+1, 1, func(cfg []byte) {
		if cfg[at+deviceControl+1]&startFLR != 0 {
			cfg[at+deviceControl+1] &^= startFLR
			reset()
		}
	})
	return nil
}

// addLink gives a PCI Express function a 2.5 GT/s link of one lane.
func (f *Function) addLink() {
	const linkCaps, linkStatus, lane = 0x0c, 0x12, 1<<4 | 1
	binary.LittleEndian.PutUint32(f.cfg[f.express+linkCaps:], lane)
	binary.LittleEndian.PutUint16(f.cfg[f.express+linkStatus:], lane)
}

// pluggedBehind makes an endpoint of the root complex one of a link, where it is behind a root port.
func (f *Function) pluggedBehind(above *Function) {
	const kind = 0xf0 // in the lower byte of the PCI Express capabilities register
	if f.express == 0 || above.express == 0 || f.cfg[f.express+2]&kind != uint8(IntegratedEndpoint)<<4 {
		return
	}
	f.cfg[f.express+2] &^= kind
	f.addLink()
}
