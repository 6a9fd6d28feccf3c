package ata

import "github.com/sharevm/vmm/vmm/state"

const (
	diskState   = "ata-disk"
	diskVersion = 1
)

// Save implements Device.
func (d *Disk) Save(w *state.Writer) {
	m := d.look()
	w.Version(diskState, diskVersion)
	w.U64(d.sectors)
	w.U8(m.multiple)
	w.U8(m.transfer)
	for _, v := range []bool{m.cache, m.lookAhead, m.smart, m.standby} {
		w.Bool(v)
	}
	w.U8(m.heads)
	w.U8(m.perTrack)
	e := m.failed
	w.Bool(e.valid)
	w.U8(e.tag)
	w.U8(e.status)
	w.U8(e.error)
	w.U64(e.lba)
	w.U16(e.count)
	w.U8(e.device)
}

// Restore implements Device.
func (d *Disk) Restore(r *state.Reader) error {
	r.Version(diskState, diskVersion)
	if n := r.U64(); r.Err() == nil && n != d.sectors {
		r.Fail("the disk had %d sectors and now has %d", n, d.sectors)
	}
	m := mode{multiple: r.U8(), transfer: r.U8(), cache: r.Bool(), lookAhead: r.Bool(), smart: r.Bool(), standby: r.Bool(), heads: r.U8(), perTrack: r.U8()}
	m.failed = ncqError{valid: r.Bool(), tag: r.U8(), status: r.U8(), error: r.U8(), lba: r.U64(), count: r.U16(), device: r.U8()}
	if r.Err() != nil {
		return r.Err()
	}
	switch {
	case m.multiple > maxMultiple || m.multiple&(m.multiple-1) != 0:
		r.Fail("%d sectors an interrupt", m.multiple)
	case !validTransfer(m.transfer) || m.transfer&^7 != modeMultiword && m.transfer&^7 != modeUltra:
		r.Fail("transfer mode %#x", m.transfer)
	case m.heads == 0 || m.heads > 16 || m.perTrack == 0:
		r.Fail("geometry of %d heads and %d sectors", m.heads, m.perTrack)
	case m.failed.tag >= queueDepth || m.failed.lba > mask48:
		r.Fail("queued command error log")
	case m.cache && (d.cfg.WriteThrough || d.cfg.ReadOnly):
		r.Fail("a write cache on a disk that has none")
	}
	if r.Err() != nil {
		return r.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mode = m
	return nil
}

// Save appends a command that is not being executed.
func (c *Command) Save(w *state.Writer) {
	w.U8(c.Opcode)
	w.U16(c.Features)
	w.U16(c.Count)
	w.U64(c.LBA)
	w.U8(c.Device)
	w.Bool(c.begun)
	if !c.begun {
		return
	}
	w.Bytes(c.Packet[:])
	w.Bool(c.Protocol == PacketIn || c.Protocol == PacketOut)
	w.U32(uint32(c.Done))
	w.Bool(c.finished)
	c.Result.Save(w)
}

// Restore takes back what Save wrote, and has d decode it anew where it had been decoded.
func (c *Command) Restore(r *state.Reader, d Device) {
	c.Start(Registers{Opcode: r.U8(), Features: r.U16(), Count: r.U16(), LBA: r.U64(), Device: r.U8()})
	if r.Err() == nil && c.LBA > mask48 {
		r.Fail("command address %#x", c.LBA)
	}
	if begun := r.Bool(); !begun || r.Err() != nil {
		return
	}
	packet := r.Bytes(PacketSize)
	came := r.Bool()
	done, finished := int(r.U32()), r.Bool()
	var result Result
	result.Restore(r)
	if r.Err() == nil && len(packet) != PacketSize {
		r.Fail("packet of %d bytes", len(packet))
	}
	if r.Err() != nil {
		return
	}
	d.Decode(c)
	copy(c.Packet[:], packet)
	if came {
		d.DecodePacket(c)
	}
	if done > c.Length || c.finished && !finished || came != (c.Protocol == PacketIn || c.Protocol == PacketOut) {
		r.Fail("%d of %d bytes of command %#x are done", done, c.Length, c.Opcode)
		return
	}
	c.Done, c.finished, c.Result = done, finished, result
}

// Save appends the result.
func (o Result) Save(w *state.Writer) {
	w.U8(o.Status)
	w.U8(o.Error)
	w.U16(o.Count)
	w.U64(o.LBA)
	w.U8(o.Device)
}

// Restore takes back what Save wrote.
func (o *Result) Restore(r *state.Reader) {
	*o = Result{Status: r.U8(), Error: r.U8(), Count: r.U16(), LBA: r.U64(), Device: r.U8()}
	if r.Err() == nil && o.LBA > mask48 {
		r.Fail("address %#x", o.LBA)
	}
}
