package vmxnet3

import "encoding/binary"

// passThrough is BAR 0: interrupt masks and doorbells.
type passThrough struct{ d *Device }

// Read implements bus.Device.
func (b passThrough) Read(off uint64, p []byte) {
	clear(p)
	if v := off / regStride; v < vectors && off%regStride == 0 {
		b.d.mu.Lock()
		defer b.d.mu.Unlock()
		if b.d.intr[v].masked {
			p[0] = 1
		}
	}
}

// Write implements bus.Device. Doorbells come here only where the kernel does not ring them.
func (b passThrough) Write(off uint64, p []byte) {
	switch {
	case off%regStride != 0 || len(p) < 4:
	case off < regStride*vectors:
		b.d.mu.Lock()
		defer b.d.mu.Unlock()
		v := int(off / regStride)
		b.d.intr[v].masked = p[0]&1 != 0
		b.d.deliver(v)
	case off >= regTXPROD && off < regTXPROD+regStride*maxTxQueues:
		b.d.port.TransmitEvent().Signal()
	case off >= regRXPROD && off < regRXPROD+regStride*maxRxQueues, off >= regRXPROD2 && off < regRXPROD2+regStride*maxRxQueues:
		b.d.port.ReceiveEvent().Signal()
	}
}

// registers is BAR 1. Each register is 32 bits wide and read and written whole.
type registers struct{ d *Device }

// Read implements bus.Device.
func (b registers) Read(off uint64, p []byte) {
	clear(p)
	if off%regStride != 0 || len(p) < 4 {
		return
	}
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	binary.LittleEndian.PutUint32(p, b.d.read(off))
}

// Write implements bus.Device.
func (b registers) Write(off uint64, p []byte) {
	if off%regStride != 0 || len(p) < 4 {
		return
	}
	wake := false
	b.d.mu.Lock()
	defer func() {
		b.d.mu.Unlock()
		if wake {
			b.d.port.TransmitEvent().Signal()
			b.d.port.ReceiveEvent().Signal()
		}
	}()
	wake = b.d.write(off, binary.LittleEndian.Uint32(p))
}

// read returns a register. d.mu is held.
func (d *Device) read(off uint64) uint32 {
	switch off {
	case regVRRS, regUVRS:
		return versions
	case regDSAL:
		return uint32(d.address)
	case regDSAH:
		return uint32(d.address >> 32)
	case regCMD:
		return d.answer
	case regMACL:
		return macLow(d.mac)
	case regMACH:
		return macHigh(d.mac)
	case regICR:
		if !d.asserted {
			return 0
		}
		d.pin(false)
		return 1
	case regECR:
		if s, err := d.mem.Slice(d.address, sharedSize); err == nil && d.active {
			return binary.LittleEndian.Uint32(s[offECR:])
		}
	}
	return 0
}

// write stores a register and says whether the workers have to look. d.mu is held.
func (d *Device) write(off uint64, v uint32) bool {
	switch off {
	case regDSAL:
		d.address = d.address&^0xffffffff | uint64(v)
	case regDSAH:
		d.address = d.address&0xffffffff | uint64(v)<<32
	case regCMD:
		d.command(v)
		return true
	case regMACL:
		binary.LittleEndian.PutUint32(d.mac[:], v)
	case regMACH:
		binary.LittleEndian.PutUint16(d.mac[4:], uint16(v))
	case regECR:
		d.acknowledge(v)
	}
	return false
}

func macLow(m [6]byte) uint32  { return binary.LittleEndian.Uint32(m[:]) }
func macHigh(m [6]byte) uint32 { return uint32(binary.LittleEndian.Uint16(m[4:])) }

// command carries out one command. d.mu is held.
func (d *Device) command(c uint32) {
	d.answer = 0
	switch c {
	case cmdActivate:
		if err := d.activate(); err != nil {
			d.answer = answerFailed
			d.log.Warn("the driver's set-up of its network card is refused", "card", d.name, "error", err)
		}
	case cmdQuiesce:
		d.deactivate()
	case cmdReset:
		d.reset()
	case cmdRxMode, cmdMACFilters, cmdVLANFilters, cmdFeature, cmdRSSTable, cmdModeration:
		d.refresh()
	case cmdQueueStatus, cmdStats:
		d.report()
	case cmdLink:
		if d.port.LinkUp() {
			d.answer = linkUp
		}
	case cmdPermanentLow:
		d.answer = macLow(d.factory)
	case cmdPermanentHigh:
		d.answer = macHigh(d.factory)
	case cmdConfIntr: // any kind, masked by the card when it fires
	}
}
