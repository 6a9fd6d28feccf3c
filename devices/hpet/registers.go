package hpet

import "encoding/binary"

// Offsets of the registers, 64 bits each.
const (
	regID       = 0x000
	regConfig   = 0x010
	regStatus   = 0x020
	regCounter  = 0x0F0
	regTimers   = 0x100 // of each comparator: configuration, value, message
	timerStride = 0x20
	regValue    = 0x08
)

// Read implements bus.Device.
func (d *Device) Read(offset uint64, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(p) > 0 {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], d.register(offset&^7))
		n := copy(p, b[offset&7:])
		offset, p = offset+uint64(n), p[n:]
	}
}

// register returns what a register reads as.
func (d *Device) register(at uint64) uint64 {
	switch at {
	case regID:
		return femtoTick<<32 | ID
	case regConfig:
		return d.config
	case regStatus:
		return d.status
	case regCounter:
		return d.now()
	}
	if i, reg, ok := timerAt(at); ok {
		switch reg {
		case 0:
			return d.timers[i].config | timerFixed
		case regValue:
			return d.timers[i].value
		}
	}
	return 0
}

// timerAt says which register of which comparator is at an offset.
func timerAt(at uint64) (i int, reg uint64, ok bool) {
	if at < regTimers || at >= regTimers+Comparators*timerStride {
		return 0, 0, false
	}
	return int((at - regTimers) / timerStride), (at - regTimers) % timerStride, true
}

// Write implements bus.Device.
func (d *Device) Write(offset uint64, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(p) > 0 {
		at := offset &^ 7
		var old, mask [8]byte
		binary.LittleEndian.PutUint64(old[:], d.register(at))
		n := copy(old[offset&7:], p)
		for i := range n {
			mask[int(offset&7)+i] = 0xFF
		}
		d.set(at, binary.LittleEndian.Uint64(old[:]), binary.LittleEndian.Uint64(mask[:]))
		offset, p = offset+uint64(n), p[n:]
	}
}

// set gives a register a value, of which the guest has written the bits in mask.
func (d *Device) set(at, v, mask uint64) {
	switch at {
	case regConfig:
		d.configure(v & confBits)
		return
	case regStatus:
		d.status &^= v & mask
		d.drive()
		return
	case regCounter:
		if d.config&confEnable == 0 {
			d.count = v
		}
		return
	}
	i, reg, ok := timerAt(at)
	if !ok {
		return
	}
	t := &d.timers[i]
	switch reg {
	case 0:
		t.config = v & timerBits
		if t.config&timer32 != 0 {
			t.value = uint64(uint32(t.value))
			t.period = uint64(uint32(t.period))
		}
		if t.config&timerLevel == 0 {
			d.status &^= 1 << i
		}
		d.drive()
	case regValue:
		if t.config&timer32 != 0 {
			v = uint64(uint32(v))
		}
		periodic := t.config&timerPeriodic != 0
		if !periodic || t.config&timerSetValue != 0 {
			t.value = v
		}
		if periodic {
			t.period = v
		}
		t.config &^= timerSetValue
	default:
		return
	}
	d.arm(i)
}

// configure takes the general configuration.
func (d *Device) configure(v uint64) {
	changed := d.config ^ v
	if changed&confEnable != 0 {
		d.count = d.now()
		d.start = d.cfg.Clock.Now()
	}
	d.config = v
	if changed&confLegacy != 0 && d.cfg.Legacy != nil {
		d.cfg.Legacy(v&confLegacy != 0)
	}
	for i := range d.timers {
		d.arm(i)
	}
	d.drive()
}
