package hda

import "time"

// window is the BAR of registers, which take accesses of any width.
type window struct{ d *Device }

// Read implements bus.Device.
func (w window) Read(off uint64, p []byte) {
	clear(p)
	d := w.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if off >= regStreams || off <= regINTSTS && off+uint64(len(p)) > regINTSTS {
		d.advance()
	}
	d.set32(regWALCLK, d.wall())
	for i := range p {
		at := off + uint64(i)
		if at >= regAlias {
			if at -= regAlias; !aliased(at) {
				continue
			}
		}
		if at < regsEnd {
			p[i] = d.regs[at]
		}
	}
}

// aliased says whether a byte is repeated in the alias window.
func aliased(at uint64) bool {
	if at >= regStreams && at < regsEnd {
		at %= streamStride
		return at >= sdLPIB && at < sdLPIB+4
	}
	return at >= regWALCLK && at < regWALCLK+4
}

// wall is the wall clock.
func (d *Device) wall() uint32 {
	if d.regs[regGCTL]&gctlRunning == 0 {
		return 0
	}
	t := d.running() - d.wallZero
	return uint32(uint64(t/time.Second)*wallClock + uint64(t%time.Second)*wallClock/uint64(time.Second))
}

// Write implements bus.Device. An access is taken apart into registers of 4 bytes.
func (w window) Write(off uint64, p []byte) {
	d := w.d
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(p) > 0 && off < regsEnd {
		n := min(4-int(off&3), len(p))
		d.write(int(off), p[:n])
		p, off = p[n:], off+uint64(n)
	}
	d.interrupt()
	d.schedule()
}

// write stores bytes that lie in one register of 4 bytes, and does what they ask for. While the link is in reset there is nothing but the bit
// that ends that. d.mu is held.
func (d *Device) write(off int, p []byte) {
	at := off &^ 3
	if d.regs[regGCTL]&gctlRunning == 0 && at != regGCTL {
		return
	}
	if at >= regStreams || at == regSSYNC {
		d.advance()
	}
	var raw [4]byte // what was written
	copy(raw[off-at:], p)
	before := d.regs[at]
	for i, v := range p {
		to, may := &d.regs[off+i], masks.writable[off+i]
		*to = (*to&^may | v&may) &^ (v & masks.clears[off+i])
	}
	switch at {
	case regGCTL:
		d.writeGCTL(before, raw[0])
	case regCORBWP:
		if d.regs[regCORBRP+1]&pointerReset != 0 {
			d.regs[regCORBRP] = 0
		}
		d.commands()
	case regCORBCTL, regRIRBCTL:
		d.commands()
	case regRIRBWP:
		if raw[1]&pointerReset != 0 {
			d.regs[regRIRBWP] = 0
		}
	case regICIS:
		if raw[0]&icisBusy != 0 {
			d.immediate()
		}
	default:
		if at < regStreams {
			break
		}
		n := (at - regStreams) / streamStride
		switch (at - regStreams) % streamStride {
		case sdCTL:
			d.control(n)
		case sdFIFOS: // with the format, by which the time is told from now on
			d.streams[n].start, d.streams[n].moved = d.running(), 0
		}
	}
}

// writeGCTL takes the link into reset and out of it, upon which the codec says that it is there.
func (d *Device) writeGCTL(before, written byte) {
	switch now := d.regs[regGCTL]; {
	case now&gctlRunning == 0:
		d.player.stop()
		d.reset()
	case before&gctlRunning == 0:
		d.wallZero = d.running()
		d.regs[regSTATESTS] |= 1
	}
	if written&gctlFlush != 0 && d.regs[regGCTL]&gctlRunning != 0 {
		d.regs[regGSTS] |= gstsFlushed
	}
}
