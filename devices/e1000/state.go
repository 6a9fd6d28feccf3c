package e1000

import (
	"time"

	"github.com/sharevm/vmm/vmm/state"
)

const stateVersion = 1

// Pause stops the workers. Frames wait in the link and in the rings.
func (d *Device) Pause() {
	d.port.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.moderators {
		m.Stop()
	}
	d.age, d.resumed = d.running(), time.Time{}
}

// Resume goes on after Pause.
func (d *Device) Resume() {
	d.mu.Lock()
	d.resumed = time.Now()
	d.interrupt() // what a moderator held up
	d.mu.Unlock()
	d.port.Start()
}

// Save implements state.Device.
func (d *Device) Save(w *state.Writer) {
	d.function.Save(w)
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(d.model.name, stateVersion)
	used := 0
	for _, v := range d.regs {
		if v != 0 {
			used++
		}
	}
	w.U32(uint32(used)) // most are zero
	for i, v := range d.regs {
		if v != 0 {
			w.U16(uint16(i))
			w.U32(v)
		}
	}
	w.U32(d.icr)
	w.U32(d.signalled)
	w.U32(d.finished)
	w.Bool(d.asserted)
	w.U32(d.wire.shift)
	w.U32(d.wire.out)
	for _, v := range d.phy {
		w.U16(v)
	}
	w.U32(d.ioAddress)
	w.U64(uint64(d.age))
	for i := range d.model.queues {
		d.tx[i].context.save(w)
	}
}

func (c *context) save(w *state.Writer) {
	for _, v := range []uint8{c.ipStart, c.ipAt, c.sumStart, c.sumAt, c.headers} {
		w.U8(v)
	}
	for _, v := range []uint16{c.ipEnd, c.sumEnd, c.segment} {
		w.U16(v)
	}
	w.Bool(c.tcp)
}

func (c *context) restore(r *state.Reader) {
	for _, v := range []*uint8{&c.ipStart, &c.ipAt, &c.sumStart, &c.sumAt, &c.headers} {
		*v = r.U8()
	}
	for _, v := range []*uint16{&c.ipEnd, &c.sumEnd, &c.segment} {
		*v = r.U16()
	}
	c.tcp = r.Bool()
}

// Restore implements state.Device. Whether the cable is plugged in is the new machine's own affair. Registers hold what a guest may write to
// them: whoever uses one judges it anyway.
func (d *Device) Restore(r *state.Reader) error {
	d.port.Stop()
	if err := d.function.Restore(r); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r.Version(d.model.name, stateVersion)
	var regs [registers / 4]uint32
	last := -1
	for n := r.U32(); n > 0 && r.Err() == nil; n-- {
		i, v := int(r.U16()), r.U32()
		if r.Err() == nil && (i <= last || i >= len(regs) || v == 0) {
			r.Fail("%s: register %#x out of place", d.model.name, 4*i)
			break
		}
		if r.Err() == nil {
			regs[i], last = v, i
		}
	}
	icr, signalled, finished := r.U32(), r.U32(), r.U32()
	asserted := r.Bool()
	wire := microwire{shift: r.U32(), out: r.U32()}
	var phy [phyCount]uint16
	for i := range phy {
		phy[i] = r.U16()
	}
	ioAddress := r.U32()
	age := r.U64()
	var tx [2]transmitQueue
	for i := range d.model.queues {
		tx[i].context.restore(r)
	}
	const longest = uint64(100 * 365 * 24 * time.Hour)
	if r.Err() == nil && (wire.shift >= 1<<(microwireBits+addressBits) || wire.out >= 1<<18 || age > longest) {
		r.Fail("%s: EEPROM in the midst of %#x, %#x, or a clock of %d ns", d.model.name, wire.shift, wire.out, age)
	}
	if r.Err() != nil {
		return r.Err()
	}
	d.regs, d.icr, d.signalled, d.finished, d.asserted = regs, icr, signalled, finished, asserted
	d.wire, d.phy, d.ioAddress, d.age, d.resumed = wire, phy, ioAddress, time.Duration(age), time.Time{}
	for i := range d.tx {
		tx[i].generation = d.tx[i].generation + 1
	}
	d.tx = tx
	d.intervals()
	return nil
}
