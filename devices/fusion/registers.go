package fusion

// bank is a BAR through which the registers show; beyond them it reads as zeroes.
type bank struct {
	d    *Device
	size uint64
}

// Read implements bus.Device. Only aligned words reach a FIFO.
func (b bank) Read(off uint64, p []byte) {
	clear(p)
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	for i := 0; i < len(p); {
		at := off + uint64(i)
		word := at &^ 3
		n := min(4-int(at&3), len(p)-i)
		var v [4]byte
		le.PutUint32(v[:], b.d.readRegister(word, n == 4))
		copy(p[i:i+n], v[at&3:])
		i += n
	}
}

// Write implements bus.Device. The registers take aligned words only.
func (b bank) Write(off uint64, p []byte) {
	if off&3 != 0 {
		return
	}
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	for ; len(p) >= 4; off, p = off+4, p[4:] {
		b.d.writeRegister(off, le.Uint32(p))
	}
}

// readRegister returns a register. whole says that the access is such that a FIFO moves on.
func (d *Device) readRegister(off uint64, whole bool) uint32 {
	r := &d.registers
	switch off {
	case regDoorbell:
		v := uint32(r.state)<<stateShift | uint32(r.who)<<doorbellWhoShift
		if r.state == stateFault {
			return v | uint32(r.fault)
		}
		return v | r.handshake.read(whole)
	case regDiagnostic:
		v := r.diagnostic
		if int(r.sequence) == len(sequenceKeys) {
			v |= diagWriteEnable
		}
		return v
	case regStatus:
		return r.pending()
	case regMask:
		return r.mask
	case regReplyFIFO:
		if !whole {
			return 0xffffffff
		}
		v, _ := r.post.pop()
		d.interrupt()
		return v
	}
	return 0
}

// writeRegister stores a register.
func (d *Device) writeRegister(off uint64, v uint32) {
	r := &d.registers
	switch off {
	case regDoorbell:
		d.ring(v)
	case regSequence:
		switch key := uint8(v & 0xf); {
		case int(r.sequence) < len(sequenceKeys) && key == sequenceKeys[r.sequence]:
			r.sequence++
		case key == sequenceKeys[0]:
			r.sequence = 1
		default:
			r.sequence = 0
		}
	case regDiagnostic:
		if int(r.sequence) < len(sequenceKeys) {
			return
		}
		if v&diagReset != 0 {
			d.reset(true)
			return
		}
		r.diagnostic = v & diagWritable
	case regStatus:
		r.handshake.acknowledge(&r.status)
		d.interrupt()
	case regMask:
		r.mask = v & (intDoorbell | intReply)
		d.interrupt()
	case regReplyFIFO:
		if r.state != stateReset && !r.free.push(v) {
			d.fail(iocNoResources, nil)
		}
	case regRequestFIFO, regHighFIFO:
		d.post(v)
	}
}
