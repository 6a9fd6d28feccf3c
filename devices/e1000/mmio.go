package e1000

import (
	"encoding/binary"
	"time"
)

// window is the BAR of registers. Each register is 32 bits wide; reads may be narrower, writes may not (82574 datasheet, section 10.1.1.1).
type window struct{ d *Device }

// Read implements bus.Device.
func (m window) Read(off uint64, p []byte) {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	var word [4]byte
	for len(p) > 0 {
		binary.LittleEndian.PutUint32(word[:], m.d.read(off&^3))
		n := copy(p, word[off&3:])
		p, off = p[n:], off+uint64(n)
	}
}

// Write implements bus.Device.
func (m window) Write(off uint64, p []byte) {
	if off%4 != 0 {
		return
	}
	kick := wakes(0)
	m.d.mu.Lock()
	defer func() {
		m.d.mu.Unlock()
		if kick&wakeTransmit != 0 {
			m.d.port.KickTransmit()
		}
		if kick&wakeReceive != 0 {
			m.d.port.KickReceive()
		}
	}()
	for ; len(p) >= 4; p, off = p[4:], off+4 {
		kick |= m.d.write(off, binary.LittleEndian.Uint32(p))
	}
}

// ports is the BAR in I/O space, a window on the registers: address and data (317453, section 13.3.1).
type ports struct{ d *Device }

const portData = 4

// Read implements bus.Device.
func (w ports) Read(off uint64, p []byte) {
	clear(p)
	at := w.address()
	switch {
	case off < portData:
		var word [4]byte
		binary.LittleEndian.PutUint32(word[:], at)
		copy(p, word[off:])
	case off < portData+4 && at < memorySize:
		window(w).Read(uint64(at)&^3+off-portData, p[:min(uint64(len(p)), portData+4-off)])
	}
}

// Write implements bus.Device.
func (w ports) Write(off uint64, p []byte) {
	if len(p) != 4 {
		return
	}
	switch at := w.address(); {
	case off == 0:
		w.d.mu.Lock()
		w.d.ioAddress = binary.LittleEndian.Uint32(p)
		w.d.mu.Unlock()
	case off == portData && at < memorySize:
		window(w).Write(uint64(at)&^3, p)
	}
}

func (w ports) address() uint32 {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	return w.d.ioAddress
}

// wakes says which workers a write has something for.
type wakes uint8

const (
	wakeTransmit wakes = 1 << iota
	wakeReceive
)

// read returns a register. d.mu is held.
func (d *Device) read(at uint64) uint32 {
	switch at {
	case regSTATUS:
		return d.status()
	case regEECD:
		return d.readEECD()
	case regICR:
		return d.readICR()
	case regICS:
		return d.icr
	case regIMC:
		return d.reg(regIMS)
	case regSWSM:
		v := d.reg(at)
		d.set(at, v|semaphoreSMBI) // reading takes it
		return v
	case regSYSTIML:
		t := d.systemTime()
		d.set(regSYSTIMH, uint32(t>>32))
		return uint32(t)
	}
	if at >= registers {
		return 0
	}
	v := d.reg(at)
	if at >= regStats && at < statsEnd {
		d.set(at, 0)
	}
	return v
}

// status is the STATUS register.
func (d *Device) status() uint32 {
	v := uint32(statusFullDuplex | statusSpeed1000)
	if d.linkUp() && d.reg(regCTRL)&ctrlLinkReset == 0 {
		v |= statusLinkUp
	}
	if d.model.queues > 1 {
		v |= statusInitDone
		if d.reg(regCTRL)&ctrlNoMaster == 0 {
			v |= statusMaster
		}
	}
	return v
}

// systemTime is the card's clock: TIMINCA says what is added how often, in units of 40 ns (82574 datasheet, section 10.2.9.12).
func (d *Device) systemTime() uint64 {
	const tick = 40 * time.Nanosecond
	v := d.reg(regTIMINCA)
	period, step := v>>24, v&0xffffff
	if period == 0 {
		return 0
	}
	return uint64(d.running()/tick) / uint64(period) * uint64(step)
}

// running is how long the guest has run since the clock was set.
func (d *Device) running() time.Duration {
	if d.resumed.IsZero() {
		return d.age
	}
	return d.age + time.Since(d.resumed)
}

// write stores a register and says whom to wake. d.mu is held.
func (d *Device) write(at uint64, v uint32) wakes {
	switch {
	case at >= registers:
		return 0
	case at >= regTX && at < regTX+2*queueStride:
		return d.writeQueue(at, v)
	case at >= regRX && at < regRX+2*queueStride:
		d.set(at, v)
		return wakeReceive
	case at >= regEITR && at < regEITR+4*msixVectors && d.model.queues > 1:
		d.set(at, v)
		d.intervals()
		return 0
	}
	switch at {
	case regCTRL:
		return d.writeCTRL(v)
	case regSTATUS, regSYSTIML, regSYSTIMH:
	case regEECD:
		d.writeEECD(v)
	case regEERD:
		d.writeEERD(v)
	case regMDIC:
		d.writeMDIC(v)
	case regICR:
		d.icr &^= v
		d.interrupt()
	case regICS:
		d.raise(v & d.model.causes)
	case regIMS:
		d.intervals() // which mode the driver is in is known by now
		d.set(regIMS, d.reg(regIMS)|v&d.model.causes)
		d.interrupt()
	case regIMC:
		d.set(regIMS, d.reg(regIMS)&^v)
		d.interrupt()
	case regITR:
		d.set(at, v)
		d.intervals()
	case regTIMINCA:
		d.set(at, v)
		d.age, d.resumed = 0, time.Now()
	case regRCTL:
		d.set(at, v)
		return wakeReceive
	case regTCTL:
		if (v^d.reg(at))&tctlEnable != 0 {
			d.abandon()
		}
		d.set(at, v)
		return wakeTransmit
	default:
		d.set(at, v)
	}
	return 0
}

// writeCTRL takes the register with the resets.
func (d *Device) writeCTRL(v uint32) wakes {
	if v&ctrlReset != 0 {
		d.reset()
		return wakeReceive // what waits for room goes
	}
	d.set(regCTRL, v&^(ctrlReset|ctrlPHYReset))
	if v&ctrlPHYReset != 0 {
		d.resetPHY()
		d.raise(icrLSC)
	}
	return 0
}

// abandon makes what a worker has in hand go nowhere.
func (d *Device) abandon() {
	for i := range d.tx {
		d.tx[i].generation++
	}
}

// writeQueue stores a register of a transmit queue.
func (d *Device) writeQueue(at uint64, v uint32) wakes {
	i := (at - regTX) / queueStride
	d.set(at, v)
	if off := at - regTX - i*queueStride; off != qTail {
		if off <= qHead {
			d.tx[i].generation++
		}
		return 0
	}
	return wakeTransmit
}
