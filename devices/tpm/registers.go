package tpm

import (
	"encoding/binary"
	"errors"
)

var (
	errPanicked = errors.New("its backend panicked")
	errResponse = errors.New("its backend gave a response of an impossible length")
)

// Offsets of the registers of locality 0, 32 bits each (PTP, table 27). What is not here reads as zero and takes no writes: interrupts, extensions.
const (
	regLocState    = 0x00
	regLocControl  = 0x08
	regLocStatus   = 0x0C
	regInterfaceID = 0x30 // 64 bits
	regRequest     = 0x40
	regStatus      = 0x44
	regCancel      = 0x48
	regStart       = 0x4C
	regCommandSize = 0x58
	regCommandLow  = 0x5C
	regCommandHigh = 0x60
	regResponseLen = 0x64
	regResponse    = 0x68 // 64 bits
	regBuffer      = 0x80
)

// Bits of the registers.
const (
	stateNotEstablished = 1 << 0 // no dynamic root of trust
	stateAssigned       = 1 << 1
	stateValid          = 1 << 7

	locRequest    = 1 << 0
	locRelinquish = 1 << 1
	locGranted    = 1 << 0

	requestReady = 1 << 0
	requestIdle  = 1 << 1

	statusFailed = 1 << 0
	statusIdle   = 1 << 1

	bitCancel = 1 << 0
	bitStart  = 1 << 0
)

// The interface's identity: an active CRB, which is the only interface, with locality 0 and transfers of up to 64 bytes.
const (
	idTypeCRB    = 1 << 0
	idVersion    = 1 << 4
	idTransfer64 = 3 << 11
	idHasCRB     = 1 << 14
	idSelected   = 1 << 17
	idVendor     = 0x1014 // as the TPM itself says in TPM_PT_MANUFACTURER: IBM, whose library it is
	idDevice     = 1

	idLow  = idTypeCRB | idVersion | idTransfer64 | idHasCRB | idSelected
	idHigh = idDevice<<16 | idVendor
)

// Read implements bus.Device.
func (d *Device) Read(offset uint64, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if offset >= regBuffer {
		copy(p, d.buffer[offset-regBuffer:])
		return
	}
	for i := range p {
		at := offset + uint64(i)
		if at >= regBuffer {
			p[i] = d.buffer[at-regBuffer]
			continue
		}
		p[i] = byte(d.register(at&^3) >> (at & 3 * 8))
	}
}

// register returns what a register reads as.
func (d *Device) register(at uint64) uint32 {
	switch at {
	case regLocState:
		return stateValid | stateNotEstablished | bit(d.granted, stateAssigned)
	case regLocStatus:
		return bit(d.granted, locGranted)
	case regInterfaceID:
		return idLow
	case regInterfaceID + 4:
		return idHigh
	case regStatus:
		return bit(d.failed, statusFailed) | bit(d.idle, statusIdle)
	case regCancel:
		return bit(d.cancel, bitCancel)
	case regStart:
		return bit(len(d.command) != 0, bitStart)
	case regCommandSize, regResponseLen:
		return BufferSize
	case regCommandLow, regResponse:
		return d.cfg.Base + regBuffer
	}
	return 0
}

func bit(on bool, b uint32) uint32 {
	if on {
		return b
	}
	return 0
}

// Write implements bus.Device.
func (d *Device) Write(offset uint64, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(p) > 0 && offset < regBuffer {
		var word [4]byte
		n := copy(word[offset&3:], p)
		d.set(offset&^3, binary.LittleEndian.Uint32(word[:]))
		offset, p = offset+uint64(n), p[n:]
	}
	if len(p) > 0 && d.granted && len(d.command) == 0 {
		copy(d.buffer[offset-regBuffer:], p)
	}
}

// set takes a store to a register. Bits that the guest has not written are zero, which none of the registers heeds.
func (d *Device) set(at uint64, v uint32) {
	switch {
	case at == regLocControl && v&locRelinquish != 0:
		d.granted = false
	case at == regLocControl && v&locRequest != 0:
		d.granted = true
	case !d.granted:
	case at == regRequest && len(d.command) == 0:
		switch {
		case v&requestReady != 0:
			d.idle = false
		case v&requestIdle != 0:
			d.idle = true
			clear(d.buffer[:])
		}
	case at == regCancel:
		if d.cancel = v&bitCancel != 0; d.cancel {
			d.abandon()
		}
	case at == regStart && v&bitStart != 0:
		d.start()
	}
}
