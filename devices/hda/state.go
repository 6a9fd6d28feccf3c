package hda

import (
	"time"

	"github.com/sharevm/vmm/vmm/state"
)

const (
	stateName    = "hda"
	stateVersion = 1
	// oldest is how long a guest may have run.
	oldest = 100 * 365 * 24 * time.Hour
)

// Pause stops time.
func (d *Device) Pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.resumed.IsZero() {
		return
	}
	d.advance()
	d.age, d.resumed = d.running(), time.Time{}
	d.timer.Stop()
	d.player.stop()
}

// Resume goes on after Pause.
func (d *Device) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.resumed.IsZero() {
		d.resumed = d.clock.Now()
	}
	d.schedule()
}

// Save implements state.Device.
func (d *Device) Save(w *state.Writer) {
	d.function.Save(w)
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	d.set32(regWALCLK, d.wall())
	w.Bytes(d.regs[:])
	c := &d.codec
	w.U16(c.format)
	for _, v := range []uint8{c.tag, c.amp[0], c.amp[1], c.pinControl} {
		w.U8(v)
	}
	for _, v := range c.power {
		w.U8(v)
	}
	w.U32(c.config)
	w.U32(c.subsystem)
	for i := range d.streams {
		d.streams[i].save(w)
	}
	w.U32(d.signalled)
	w.Bool(d.asserted)
	w.U64(uint64(d.age))
	w.U64(uint64(d.wallZero))
}

func (s *stream) save(w *state.Writer) {
	w.Bool(s.active)
	w.U64(uint64(s.start))
	w.U64(s.moved)
	w.U8(s.entry)
	w.Bool(s.loaded)
	w.U64(s.addr)
	w.U32(s.size)
	w.U32(s.done)
	w.Bool(s.ioc)
}

func (s *stream) restore(r *state.Reader) {
	s.active = r.Bool()
	s.start = time.Duration(r.U64())
	s.moved = r.U64()
	s.entry = r.U8()
	s.loaded = r.Bool()
	s.addr = r.U64()
	s.size = r.U32()
	s.done = r.U32()
	s.ioc = r.Bool()
}

// Restore implements state.Device.
func (d *Device) Restore(r *state.Reader) error {
	d.Pause()
	if err := d.function.Restore(r); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r.Version(stateName, stateVersion)
	regs := r.Bytes(regsEnd)
	var c codec
	c.format = r.U16()
	for _, v := range []*uint8{&c.tag, &c.amp[0], &c.amp[1], &c.pinControl} {
		*v = r.U8()
	}
	for i := range c.power {
		c.power[i] = r.U8()
	}
	c.config, c.subsystem = r.U32(), r.U32()
	var all [streams]stream
	for i := range all {
		all[i].restore(r)
	}
	signalled, asserted := r.U32(), r.Bool()
	age, zero := time.Duration(r.U64()), time.Duration(r.U64())
	if r.Err() == nil && len(regs) != regsEnd {
		r.Fail("%s: registers of %d bytes", stateName, len(regs))
	}
	if r.Err() != nil {
		return r.Err()
	}
	for _, at := range []int{regGCAP, regGCAP + 1, regVMAJ, regCORBSIZE, regRIRBSIZE} {
		if regs[at] != d.regs[at] {
			r.Fail("%s: register %#x is %#x, this controller has %#x", stateName, at, regs[at], d.regs[at])
		}
	}
	for at := regWAKEEN; at < regWAKEEN+4; at++ { // WAKEEN and STATESTS: bits of codecs that are not there would outlast a reset
		if regs[at]&^(masks.writable[at]|masks.clears[at]) != 0 {
			r.Fail("%s: register %#x is %#x", stateName, at, regs[at])
		}
	}
	for _, v := range c.amp {
		if v&gainBits > gainSteps {
			r.Fail("%s: a gain of %d steps", stateName, v&gainBits)
		}
	}
	if age < 0 || age > oldest || zero < 0 || zero > age {
		r.Fail("%s: it has run for %v, its clock since %v", stateName, age, zero)
	}
	for i := range all {
		s := &all[i]
		// What a stream moves in a second bounds what it can be ahead by.
		const most = 2 * 64 * 192000
		if s.start < 0 || s.start > age || s.moved > most || s.done > s.size || s.active && i < inputs || s.done == s.size && s.done != 0 {
			r.Fail("%s: stream %d is at %d of %d bytes, %d since %v", stateName, i, s.done, s.size, s.moved, s.start)
		}
	}
	if r.Err() != nil {
		return r.Err()
	}
	copy(d.regs[:], regs)
	d.codec, d.streams, d.signalled, d.asserted, d.age, d.wallZero = c, all, signalled, asserted, age, zero
	d.player.stop()
	return nil
}
